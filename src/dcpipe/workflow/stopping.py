"""Stopping in time: a signal asks the running job to save and leave; one that does not hear it is made to leave.

SIGTERM, SIGHUP and Ctrl-C first ask: a stage looks between its steps, saves its state and leaves. After `GRACE_SECONDS`
`Interrupted` is raised wherever the stage is; after `LAST_SECONDS` more, if it is inside one long call of a library,
the process ends at once. All of it is safe for what is on the disk: artifacts and states are written whole or not at
all, and the next run goes on from the last saved state.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dcpipe.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_SECONDS = 2.5
LAST_SECONDS = 1.0
SAVING_SECONDS = 20.0  # how long a state that is just being saved is waited for
UNWINDING_SECONDS = 10.0  # how long a process that has heard may take to end
FORCED_EXIT_MESSAGE = b"dcpipe: stopped inside a long step; the same command continues from the last saved state\n"

_stop = threading.Event()
_saved = threading.Event()  # no state is being saved
_saved.set()
_listening = threading.Lock()  # held by the outermost listener


def request_stop() -> None:
    """Ask the running stage to save and leave, as a signal does; nothing insists on it."""
    _stop.set()


def stop_requested() -> bool:
    """Whether the stage is asked to stop."""
    return _stop.is_set()


def stop() -> None:
    """Leave after saving. Raises: Interrupted."""
    raise Interrupted


@contextmanager
def saving() -> Iterator[None]:
    """A state is being saved: wait for it before insisting."""
    _saved.clear()
    try:
        yield
    finally:
        _saved.set()


@contextmanager
def stopping_on_signals(*, after_seconds: float | None = None) -> Iterator[None]:
    """Signals and the end of `after_seconds` ask the running stage to save and leave; signals insist.

    Inside another one this adds nothing: the outer one listens, and what was asked holds until that one ends. A signal
    that is ignored, as SIGHUP is under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread() or not _listening.acquire(blocking=False):
        yield
        return
    watch = _SignalHandler()
    before = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, watch.handle_signal)
        with _request_stop_after(after_seconds):
            yield
    finally:
        watch.end()
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop.clear()
        _listening.release()


class _SignalHandler:
    """Hears signals, and insists from a thread of its own, which goes on while the main thread is in a long call.

    Python runs a signal's handler in the main thread, after such a call; that one came is written to a socket at once.
    """

    def __init__(self) -> None:
        self._asked, self._forcing, self._raised, self._ended = (threading.Event() for _ in range(4))
        self._heard, self._hears = socket.socketpair()
        self._hears.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._hears.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._force_exit_after_signal, name="stopping", daemon=True)
        self._thread.start()

    def handle_signal(self, signum: int, _frame: FrameType | None) -> None:
        """The signals' handler. Raises: Interrupted if it is not the first time."""
        again = self._asked.is_set() and signum == signal.SIGINT
        request_stop()
        self._asked.set()
        if self._forcing.is_set() or again:
            self._raised.set()
            raise Interrupted

    def end(self) -> None:
        """The job has ended, in whichever way."""
        self._ended.set()
        signal.set_wakeup_fd(self._wakeup_before)
        self._heard.shutdown(socket.SHUT_RD)
        self._hears.close()
        self._thread.join()
        self._heard.close()

    def _force_exit_after_signal(self) -> None:
        while not self._ended.is_set() and not set(self._heard.recv(64)) & set(SIGNALS):
            continue  # another signal
        if not self._ended.is_set():
            request_stop()
        if self._ended.wait(GRACE_SECONDS):
            return
        _saved.wait(SAVING_SECONDS)
        if self._ended.is_set():
            return
        self._forcing.set()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self._raised.wait(LAST_SECONDS) or not self._ended.wait(UNWINDING_SECONDS):
            os.write(2, FORCED_EXIT_MESSAGE)
            os._exit(Interrupted.exit_code)


@contextmanager
def _request_stop_after(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
    elif seconds <= 0:  # not even the first step of anything
        request_stop()
        yield
    else:
        timer = threading.Timer(seconds, request_stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
