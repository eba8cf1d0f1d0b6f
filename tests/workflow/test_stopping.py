"""Laws of stopping: who hears leaves by itself; who does not is made to leave, within five seconds."""

import os
import signal
import subprocess
import sys
import time

import pytest

import repository

LISTENING = "from dcpipe.workflow.stopping import stopping_on_signals, stop_requested, stop, saving\nimport time\n"
BUSY = """
try:
    with stopping_on_signals():
        print('ready', flush=True)
        {body}
except BaseException as left:
    raise SystemExit(getattr(left, 'exit_code', 3))
"""
POLLING = "while not stop_requested(): time.sleep(0.01)\n        print('saved', flush=True); stop()"
DEAF = "while True: sum(range(1000))"
ASLEEP = "time.sleep(60)"
IN_A_LIBRARY = "import numpy; a = numpy.ones((4000, 4000)); numpy.linalg.svd(a @ a)"
WRITING = "\n        with saving(): time.sleep(4)\n        print('saved', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_stage_that_looks_saves_and_leaves(number: signal.Signals) -> None:
    code, said = _stopped(POLLING, number)
    assert (code, said) == (75, "saved")


@pytest.mark.slow
@pytest.mark.parametrize("body", [DEAF, ASLEEP, IN_A_LIBRARY], ids=["python", "asleep", "library"])
def test_a_stage_that_does_not_look_is_made_to_leave(body: str) -> None:
    code, said = _stopped(body, signal.SIGTERM)
    assert (code, said) == (75, "")


def test_a_state_that_is_being_saved_is_waited_for() -> None:
    code, said = _stopped(WRITING, signal.SIGTERM)
    assert (code, said) == (75, "saved")


def test_an_ignored_signal_stays_ignored() -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    body = "time.sleep(1)\n        print(stop_requested(), flush=True)"
    code, said = _stopped(body, signal.SIGHUP, before=ignore)
    assert (code, said) == (0, "False")


def _stopped(body: str, number: int, before: str = "") -> tuple[int, str]:
    """The exit code after a signal, and what was printed after it."""
    environment = {**os.environ, "PYTHONPATH": str(repository.ROOT / "src")}
    text = before + LISTENING + BUSY.format(body=body)
    with subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    return process.returncode, rest.strip()


@pytest.mark.slow
def test_a_signal_in_one_long_call_of_a_library_ends_it_in_seconds() -> None:
    script = (
        "import hashlib\n"
        "from dcpipe.workflow.stopping import stopping_on_signals\n"
        "with stopping_on_signals():\n"
        "    print('begun', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)\n"  # some minutes in which no handler runs
    )
    command, pipe = [sys.executable, "-c", script], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "stopped inside a long step" in said
