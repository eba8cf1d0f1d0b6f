"""A job's process that lets a fork of its run's fork server do the work; see `fork_server`.

It stays in the engine's tree of processes as if it did the work itself: it passes signals on to the fork, and ends with
the fork's exit code, or by the signal that ended it. The engine sees the same command, in the same place, with the same
output. Imports nothing that takes long: this is what a start costs.
"""

import fcntl
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dcpipe.workflow import engine_watch

FOLDER = "DCPIPE_FORK_SERVER"  # where the run's servers listen; `off` keeps every job in a process of its own
OWN = {"_", "OLDPWD", "PWD", "SHLVL"}  # variables that differ between jobs of one run and that no import reads
DVC = "DVC_"  # begins the names of those by which DVC tells its stages who they are
LONGEST_PATH = 100  # of a socket: the system's limit is 107 bytes
START_SECONDS = 20.0
Handler = Callable[[int, FrameType | None], object] | int | None
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_in_fork(arguments: list[str]) -> None:
    """Have a fork of the run's server do this command, and end as it ends. Returns where this process must do it."""
    if "--log" not in arguments or not _is_server_allowed():
        return
    connection = _connect_or_start(Path(os.environ[FOLDER]) / f"{_environment_digest()}.sock")
    if connection is None:
        return
    relay = SignalRelay()
    with connection, relay:
        relay.set_target(_ask(connection, arguments))
        if relay.pid is not None:
            _exit_like_fork(_read_reply(connection))


def _is_server_allowed() -> bool:
    """Whether the run that started this process is of this machine, and has a folder for servers."""
    folder = os.environ.get(FOLDER)
    here = engine_watch.key(os.uname().nodename, engine_watch.namespace(), 0).removesuffix("0")
    return (
        bool(folder)
        and os.environ.get(engine_watch.ENVIRONMENT_VARIABLE, "").startswith(here)
        and Path(str(folder)).is_dir()
    )


def _environment_digest() -> str:
    """A digest of all that a process inherits and that imports or jobs may depend on: a server has one of it."""
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")]
    ignored = sorted(int(number) for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN)
    umask = os.umask(0)
    os.umask(umask)
    affinity = sorted(os.sched_getaffinity(0))
    own = [sys.executable, os.getcwd(), umask, os.getpriority(os.PRIO_PROCESS, 0), affinity, limits, ignored]
    return hashlib.sha256(json.dumps([own, _shared(os.environ)]).encode()).hexdigest()[:16]


def _shared(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in sorted(environment) if name not in OWN and not name.startswith(DVC)}


def _connect_or_start(path: Path) -> socket.socket | None:
    """A connection to the server of these surroundings, which is started if there is none; None if it cannot be had."""
    with suppress(OSError), (path.parent / "lock").open("wb") as lock:
        connection = _connect(path)
        if connection is None:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = _connect(path) or _start(path)
        return connection
    return None


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _start(path: Path) -> socket.socket | None:
    """Start a server, once, and connect to it. A second job does not try again what failed."""
    tried = path.with_suffix(".tried")
    if tried.exists():
        return None
    tried.touch()
    import subprocess

    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "dcpipe.engines.fork_server", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        connection = _connect(path)
        if connection is not None:
            server.returncode = 0  # it outlives this process: nobody here waits for it
            return connection
        time.sleep(0.01)
    return None


def _ask(connection: socket.socket, arguments: list[str]) -> int | None:
    """The number of the process that does the command; None if the server does not do it."""
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ)}).encode()
    try:
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(request)
        word, _, number = _line(connection).partition(" ")
    except OSError:
        return None
    return int(number) if word == "forked" else None


def _read_reply(connection: socket.socket) -> str:
    try:
        return _line(connection)
    except OSError:
        return ""


def _line(connection: socket.socket) -> str:
    found = b""
    while not found.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            return ""
        found += part
    return found.decode().strip()


class SignalRelay:
    """Passes on to the fork what this process is sent, and stops and goes on with it.

    It listens from before the fork is asked for, so that no signal falls between the two; what comes before the fork is
    known, the fork is sent then, or this process itself if there is none.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self._waiting = list[int]()
        self._before = dict[int, Handler]()

    def __enter__(self) -> None:
        for number in (*PASSED_ON, signal.SIGTSTP, signal.SIGCONT):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle_signal)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for number in self._waiting:
            os.kill(os.getpid(), number)

    def set_target(self, pid: int | None) -> None:
        """From now on the fork is known, or that there is none."""
        self.pid = pid
        while pid is not None and self._waiting:
            self._handle_signal(self._waiting.pop(0), None)

    def _handle_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.pid is None:
            self._waiting.append(number)
            return
        stops = number == signal.SIGTSTP
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP if stops else number)
        if stops:
            os.kill(os.getpid(), signal.SIGSTOP)


def _exit_like_fork(reply: str) -> None:
    """End this process as the fork ended."""
    word, _, number = reply.partition(" ")
    if word == "exit":
        sys.exit(int(number))
    if word == "signal":
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if int(number) != signal.SIGKILL:
            signal.signal(int(number), signal.SIG_DFL)
        os.kill(os.getpid(), int(number))
    sys.stderr.write("dcpipe: the process that did this job was ended from outside; start the same command again\n")
    sys.exit(1)
