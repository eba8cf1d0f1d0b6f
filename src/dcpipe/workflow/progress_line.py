"""The line that shows how far a run is: rewritten every second on a terminal, else written now and then."""

import os
import threading
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from dcpipe.workflow.run_progress import RunProgress, duration

MIN_SECONDS = 60.0  # between two lines in a file or a pipe
MAX_SECONDS = 600.0
STEP = 1 / 20  # of the jobs: as much more is worth a line
BAR = "|{bar:20}| {desc}"


class ProgressLine:
    """The state of a run on a stream. What else is to be said during the run goes through `say`.

    Args:
        progress: the state; call `update` with what changes it.
        stream: where it is shown.
        seconds_between: between two looks at the clock.
        clock: seconds.
    """

    def __init__(
        self,
        progress: RunProgress,
        stream: TextIO,
        *,
        seconds_between: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._stream, self._clock = progress, stream, clock
        self._lock = threading.RLock()  # the clock's thread writes too
        self._said_at, self._said_part = clock(), 0.0
        self._bar = None
        if _has_width(stream):
            self._bar = tqdm(total=progress.total, file=stream, bar_format=BAR, dynamic_ncols=True, leave=False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(seconds_between,), daemon=True)
        self._thread.start()

    @property
    def is_complete(self) -> bool:
        """Whether every job is done."""
        return self._progress.done == self._progress.total

    def update(self, change: Callable[[RunProgress, float], None]) -> None:
        """Change the state, and show it."""
        with self._lock:
            change(self._progress, self._clock())
            self.show()

    def show(self) -> None:
        """Show the state: at once on a terminal; elsewhere if it is time for a line."""
        with self._lock:
            now = self._clock()
            if self._bar is not None:
                self._bar.total, self._bar.n = self._progress.total, self._progress.done
                elapsed = duration(now - self._progress.began)
                self._bar.set_description_str(
                    ", ".join([self._progress.count_text, elapsed, *self._progress.details(now)]), refresh=False
                )
                self._bar.refresh()
            elif self._is_due(now):
                self._said_at, self._said_part = now, self._done_fraction()
                self._write(self._progress.state(now))

    def say(self, text: str) -> None:
        """Write lines of their own."""
        with self._lock:
            if self._bar is not None:
                self._bar.clear()
            self._write(text)
            if self._bar is not None:
                self.show()

    def close(self) -> None:
        """Take the line away; say in one line what became of the run."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
            one = self._progress
            parts = [f"{one.count_text} done in {duration(self._clock() - one.began)}"]
            if one.failed:
                parts.append(f"{len(one.failed)} failed: {', '.join(sorted(one.failed))}")
            self._write(", ".join(parts))

    def _watch(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            self.show()

    def _done_fraction(self) -> float:
        return self._progress.done / max(1, self._progress.total)

    def _is_due(self, now: float) -> bool:
        since = now - self._said_at
        return since >= MAX_SECONDS or (since >= MIN_SECONDS and self._done_fraction() - self._said_part >= STEP)

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


def _has_width(stream: TextIO) -> bool:
    """Whether the stream is a terminal on which a line can be rewritten; one without a size is like a file."""
    return stream.isatty() and 0 not in os.get_terminal_size(stream.fileno())
