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

_quiet = False
_show_behind_bar: Callable[[str], object] | None = None  # while a bar is shown
_told_at = -math.inf


def be_quiet() -> None:
    """Draw no bars from now on (a log was asked for)."""
    global _quiet  # noqa: PLW0603 (one terminal, one setting)
    _quiet = True


def track(items: Sequence[Item], what: str, *, already: int = 0, every_seconds: float = 20.0) -> Iterator[Item]:
    """The items, with progress told on the way, and at once. `already` were done before this run."""
    global _show_behind_bar  # noqa: PLW0603 (one terminal, one bar)
    total = already + len(items)
    if not _quiet and sys.stderr.isatty():
        with tqdm(items, desc=what, initial=already, total=total, leave=False) as bar:
            _show_behind_bar = bar.set_postfix_str
            try:
                yield from bar
            finally:
                _show_behind_bar = None
        return
    began = time.monotonic()
    _tell(f"{what}: {already} of {total}", every_seconds)
    for done, item in enumerate(items, start=1):
        yield item
        speed = pace(done, len(items) - done, max(time.monotonic() - began, 1e-9))
        _tell(f"{what}: {already + done} of {total}, {speed}", every_seconds)


def detail(text: str, *, every_seconds: float = 20.0) -> None:
    """How far the present item is: behind the bar, or a line where the last one is some time ago."""
    if _show_behind_bar is not None:
        _show_behind_bar(text)
    else:
        _tell(text, every_seconds)


def _tell(text: str, every_seconds: float) -> None:
    global _told_at  # noqa: PLW0603 (one log)
    now = time.monotonic()
    if now - _told_at >= every_seconds:
        log.info(text)
        _told_at = now


def pace(done: int, left: int, seconds: float) -> str:
    """How fast `done` items went in so many seconds, and how long those that are left will take at that rate."""
    rate = done / seconds
    speed = f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each"
    minutes, rest = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{speed}, {hours}:{minutes:02}:{rest:02} left"
