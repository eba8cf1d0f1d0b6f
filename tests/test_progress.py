"""Laws of progress: a bar with rate and remaining time for a person, a line now and then for a log, items untouched."""

import logging
import os
import pty
import select
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import repository
from dcpipe.progress import pace, track

BAR = (
    "import time\nfrom dcpipe.progress import track\nfor _ in track(range(40), 'sets', already=10): time.sleep(0.01)\n"
)


def test_the_items_come_in_order_and_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dcpipe"):
        assert list(track(range(3), "sets", already=2, every_seconds=0.0)) == [0, 1, 2]
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in said] == ["sets: 2 of 5", "sets: 3 of 5", "sets: 4 of 5", "sets: 5 of 5"]
    assert said[-1].endswith("0:00:00 left")


@pytest.mark.parametrize(
    ("done", "left", "seconds", "words"),
    [
        (10, 90, 5.0, "2.0 a second, 0:00:45 left"),
        (1, 9, 400.0, "400.0 s each, 1:00:00 left"),
        (4, 0, 1.0, "4.0 a second, 0:00:00 left"),
    ],
)
def test_what_is_left_takes_what_was_done_took(done: int, left: int, seconds: float, words: str) -> None:
    assert pace(done, left, seconds) == words


def test_a_person_sees_a_bar_with_rate_and_remaining_time(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # a terminal of no size is shown nothing
    environment = {**os.environ, "PYTHONPATH": str(repository.ROOT / "src"), "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", BAR], cwd=tmp_path, env=environment, stderr=theirs, check=True)
    assert select.select([ours], [], [], 5.0)[0], "nothing was shown"
    seen = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)
    last = [part for part in seen.split("\r") if "sets" in part][-1]
    assert "/50 [" in last
    assert "it/s]" in last
    assert "<" in last
