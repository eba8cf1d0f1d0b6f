"""What the trials of `make chaos` work with: a root that is right, copies of it, and processes that can be hurt.

A trial ends in one of three ways. *survived*: the right bytes are there, or what is wrong was said in one line, and the
same command then makes the right bytes. *lost*: they are not, or the process did not leave, or said that it is a
defect. *silent*: something wrong was taken for right.
"""

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest

import repository
from dcpipe import cli, device
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES

State = Literal["survived", "lost", "silent"]
LEAVING_SECONDS = 30.0  # how long a process may take to end that was asked to; many share this machine's cores
RUNNING_SECONDS = 300.0
_DEFECT = re.compile(r"Traceback|this is a bug|Segmentation fault")
SCORED = {**repository.CELL, "evaluation": "digits", "network": "native"}
COMMANDS = {
    "data": ["data", "tiny"],
    "experts": ["experts", "tiny", "plain", "--shard", "0"],
    "distill": ["distill", "tiny", "mtt", "--ipc", "1"],
    "evaluate": ["evaluate", "tiny", "mtt", "--ipc", "1", "--protocol", "digits"],
    "metrics": ["metrics", "tiny"],
}
WILDCARDS: dict[str, dict[str, str | int]] = {
    "data": {"dataset": "tiny"},
    "experts": {"dataset": "tiny", "experts": "plain", "shard": 0},
    "distill": repository.CELL,
    "evaluate": SCORED,
    "metrics": {"experiment": "tiny"},
}


@dataclass(frozen=True)
class Trial:
    """How one trial ended, and what was seen if it did not survive."""

    state: State
    seen: str = ""


SURVIVED = Trial("survived")


@dataclass
class Ended:
    """A process that ended: its exit code (below 0: the signal), and what it wrote."""

    code: int
    said: str
    seconds: float

    @property
    def problem(self) -> str:
        """What no command may say: a traceback, or that it is a bug; empty if it did not."""
        found = _DEFECT.search(self.said)
        return self.said[max(0, found.start() - 200) :][:600] if found else ""


@dataclass
class Bench:
    """The right root (read only), a folder for copies, and the random numbers of this run."""

    made: Path
    scratch: Path
    random: random.Random
    _copies: int = 0
    _seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def prepared(cls, made: Path, scratch: Path, seed: int) -> "Bench":
        """Load everything once, so that a process is a fork and takes no time to begin."""
        os.environ.update({"DCPIPE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"})
        os.environ.pop("DCPIPE_STATE", None)
        for module in (*(stage.implementation for stage in STAGES.values()), "dcpipe.commands.release.make_release"):
            import_module(module)
        device.configure_torch(1)
        return cls(made, scratch, random.Random(seed))  # noqa: S311 (no secret)

    def copy(self) -> Path:
        """A copy of the right root, to spoil."""
        self._copies += 1
        return Path(shutil.copytree(self.made, self.scratch / str(self._copies)))

    def job(self, stage: str) -> Job:
        """The job that a command makes."""
        return Graph(self.made).make_job(stage, **WILDCARDS[stage])

    def fork(self, root: Path, command: list[str], before: Callable[[], object] = lambda: None) -> "Child":
        """A dcpipe command line in a process of its own, which saves every state at once; `before` is called first."""
        sys.stdout.flush()
        log = self.scratch / f"{root.name}.log"
        process = os.fork()
        if process:
            return Child(process, log)
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
            os.chdir(root)
            ResumeState.is_due = lambda _: True  # type: ignore[method-assign]
            before()
            sys.argv = ["dcpipe", *command]
            cli.main()
        except SystemExit as left:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(str(left.code or 0)))
        except BaseException as error:
            os.write(2, f"Traceback: {type(error).__name__}: {error}".encode())
            os._exit(120)
        os._exit(0)

    def run(self, root: Path, command: list[str], before: Callable[[], object] = lambda: None) -> Ended:
        """The same, to its end."""
        return self.fork(root, command, before).wait()

    def seconds(self, stage: str) -> float:
        """How long a command takes here when nothing hurts it."""
        if stage not in self._seconds:
            root = self.copy()
            shutil.rmtree(root / self.job(stage).folder)
            self._seconds[stage] = self.run(root, COMMANDS[stage]).seconds
            self.drop(root)
        return self._seconds[stage]

    def again(self, root: Path, stage: str, *, silent: str = "made other bytes") -> Trial:
        """The same command once more: it must make the right bytes, and leave nothing beside them."""
        done = self.run(root, COMMANDS[stage])
        if done.code or done.problem:
            return Trial("lost", f"{stage}, again: exit {done.code}: {done.said[-300:]}")
        folder = self.job(stage).folder
        found, right = (repository.bytes_below(one / folder) for one in (root, self.made))
        other = sorted(name for name in found.keys() | right.keys() if found.get(name) != right.get(name))
        return Trial("silent", f"{stage}, again: {silent}: {', '.join(other)}") if other else SURVIVED

    def drop(self, root: Path) -> None:
        """A copy is not needed any more."""
        shutil.rmtree(root, ignore_errors=True)


@dataclass
class Child:
    """A forked command."""

    process: int
    log: Path
    started: float = field(default_factory=time.monotonic)

    def kill(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.process, number)

    def wait(self, seconds: float = RUNNING_SECONDS) -> Ended:
        """Its end; after so many seconds it is killed, and its code is 124."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.process, os.WNOHANG)
            if pid:
                took = time.monotonic() - self.started
                return Ended(os.waitstatus_to_exitcode(status), self._said(), took)
            time.sleep(0.005)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        return Ended(124, self._said(), time.monotonic() - self.started)

    def _said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def hear_signals() -> None:
    """Hear what a shell lets its background processes ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def make_reference(folder: Path) -> Path:
    """A root in which every job of tiny was run, one after the other."""
    root = repository.copy_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCPIPE_DEVICE", "cpu")
        for job in Graph(root).experiment_jobs("tiny"):
            if not job.is_view:
                execute_job(job, root)
    return root


Trials = Iterator[Trial]
Kind = Callable[[Bench], Trials]
