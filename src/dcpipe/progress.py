"""How far a stage is: a bar when a person watches, a line now and then in the log otherwise."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
log = logging.getLogger("dcpipe")


class _ProgressState:
    """What this process shows: there is one terminal, and one log."""

    quiet = False
    behind_bar: Callable[[str], object] | None = None  # while a bar is shown
    last_line = -math.inf  # when, on the monotonic clock


def be_quiet() -> None:
    """Draw no bars from now on (a log was asked for)."""
    _ProgressState.quiet = True


def track(items: Sequence[Item], name: str, *, already: int = 0, every_seconds: float = 20.0) -> Iterator[Item]:
    """The items, with a line of progress at once and on the way. `already` were done before this run."""
    total = already + len(items)
    if not _ProgressState.quiet and sys.stderr.isatty():
        with tqdm(items, desc=name, initial=already, total=total, leave=False) as bar:
            _ProgressState.behind_bar = bar.set_postfix_str
            try:
                yield from bar
            finally:
                _ProgressState.behind_bar = None
        return
    began = time.monotonic()
    _log_now(f"{name}: {already} of {total}")
    for done, item in enumerate(items, start=1):
        yield item
        speed = pace(done, len(items) - done, max(time.monotonic() - began, 1e-9))
        _log_now_and_then(f"{name}: {already + done} of {total}, {speed}", every_seconds)


def detail(text: str, *, every_seconds: float = 20.0) -> None:
    """How far the present item is: behind the bar, or a line where the last one is some time ago."""
    if _ProgressState.behind_bar is not None:
        _ProgressState.behind_bar(text)
    else:
        _log_now_and_then(text, every_seconds)


def _log_now_and_then(text: str, every_seconds: float) -> None:
    if time.monotonic() - _ProgressState.last_line >= every_seconds:
        _log_now(text)


def _log_now(text: str) -> None:
    log.info(text)
    _ProgressState.last_line = time.monotonic()


def pace(done: int, left: int, seconds: float) -> str:
    """How fast `done` items went in so many seconds, and how long those that are left will take at that rate."""
    rate = done / seconds
    speed = f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each"
    minutes, rest = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{speed}, {hours}:{minutes:02}:{rest:02} left"
