"""What a stage is given: its job, verified inputs, places for its outputs, and its resume state."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from dcpipe.errors import Interrupted
from dcpipe.provenance import artifact
from dcpipe.provenance.artifact import Draft
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.job import Job

Section = TypeVar("Section")


@dataclass(slots=True)
class Task:
    """One run of a job."""

    job: Job
    root: Path
    draft: Draft
    state: ResumeState
    facts: dict[str, object] = field(default_factory=dict)  # what the stage wants its card to say

    def inputs(self, name: str) -> list[Path]:
        """The paths of an input, each compared with its card.

        Raises: CorruptArtifactError, UserError.
        """
        return [artifact.verified_entries(self.root / path) for path in self.job.inputs[name]]

    def input(self, name: str) -> Path:
        """The one path of an input, compared with its card."""
        (path,) = self.inputs(name)
        return path

    def output(self, name: str) -> Path:
        """Where to write an output now; it gets its own name when all are finished."""
        return self.draft.path(Path(self.job.outputs[name]).name)

    def section(self, name: str, kind: type[Section]) -> Section:
        """A typed section of the job's params. Raises: TypeError if the stage's plan put something else there."""
        return self.job.section(name, kind)


_stop = threading.Event()
_listening = threading.Lock()  # held by the outermost listener


@contextmanager
def stopping_on_signals(*, after_seconds: float | None = None) -> Iterator[None]:
    """SIGTERM, Ctrl-C and the end of `after_seconds` ask the running stage to save and leave at its next step.

    Inside another one this adds nothing: the outer one listens, and what was asked holds until that one ends.
    """
    if not _listening.acquire(blocking=False):
        yield
        return

    def ask(signum: int, _frame: FrameType | None) -> None:
        if _stop.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        ask_to_stop()

    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, ask)
        with _asking_after(after_seconds):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop.clear()
        _listening.release()


@contextmanager
def _asking_after(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
    elif seconds <= 0:  # not even the first step of anything
        ask_to_stop()
        yield
    else:
        timer = threading.Timer(seconds, ask_to_stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def ask_to_stop() -> None:
    """Ask the running stage to save and leave, as SIGTERM does."""
    _stop.set()


def stop_asked() -> bool:
    """Whether the stage is asked to stop."""
    return _stop.is_set()


def stop() -> None:
    """Leave after saving. Raises: Interrupted."""
    raise Interrupted
