"""One process a run loads the libraries once and is forked for each job, instead of a start and an import a job.

    python -P -m dcpipe.engines.fork_server SOCKET      started by the first job of a run; see `fork_client`

A start with its imports takes three seconds of a core, more than many a small job. The server imports what the jobs of
its experiment import and then does nothing but fork: it computes nothing, and forks only as long as it has a single
thread, so that no lock and no pool of threads is copied in some state. A fork takes over the job's arguments,
environment and standard streams, gets handlers, random state and a process group of its own, and runs the command line
as a new process would. Where anything differs from a new process (other surroundings, code that was edited since the
import, a library that starts threads when it is imported), the server does not do it, and the job's process does.

The run's first process makes the folder of the sockets (`offer`) and removes it at its end; a server leaves when its
socket or the run's first process is gone and its forks have ended. A job whose server dies is asked to save and leave.
A job whose own process in the engine's tree is killed is killed.
"""

import atexit
import ctypes
import gc
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

from dcpipe.engines.fork_client import FOLDER, LONGEST_PATH
from dcpipe.errors import DcpipeError
from dcpipe.workflow import engine_watch

EVERY_SECONDS = 0.5
READING_SECONDS = 10.0
EXPERIMENT = "experiment"  # the file that names it, beside the sockets
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
LATE = (  # what torch, safetensors and Pillow import when they are first used: half a second in every job
    "numpy.ctypeslib",
    "PIL.PngImagePlugin",
    "torch.fx.experimental.symbolic_shapes",
    "torch.nested._internal.nested_tensor",
)


def enable_forks(experiment: str) -> None:
    """Let the jobs that this process starts be forks, until it ends; nothing where that cannot be."""
    if not sys.platform.startswith("linux") or os.environ.get(FOLDER) == "off":
        return
    folder = Path(tempfile.mkdtemp(prefix="dcpipe-"))  # for this user alone
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if len(os.fsencode(folder)) + 32 <= LONGEST_PATH:
        (folder / EXPERIMENT).write_text(experiment)
        os.environ[FOLDER] = str(folder)


@dataclass(frozen=True, slots=True)
class Request:
    """A command line to run in a fork, with the streams it writes to."""

    arguments: list[str]
    environment: Mapping[str, str]
    streams: list[int]


@dataclass(slots=True)
class ForkServer:
    """Answers job after job. `serve` returns a request in the fork that is to do it, and None in the server's end."""

    path: Path
    source_stamps: Mapping[Path, tuple[int, int]]
    listener: socket.socket
    forks: dict[int, socket.socket] = field(default_factory=dict)
    events: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> Request | None:
        """Fork for every request that is like a new process's, until the run is over."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.events.register(woken, selectors.EVENT_READ)
        self.events.register(self.listener, selectors.EVENT_READ)
        while self.forks or not self._is_over():
            for key, _ in self.events.select(EVERY_SECONDS):
                if key.fileobj == woken:
                    os.read(woken, 1024)
                elif key.fileobj is self.listener:
                    request = self._accept()
                    if request is not None:
                        os.close(woken)
                        os.close(waker)
                        return request
                else:
                    self._handle_disconnect(key.data)
            self._report_ended()
        return None

    def _is_over(self) -> bool:
        pid = engine_watch.engine_pid()
        return not self.path.exists() or pid is None or engine_watch.start_time(pid) is None

    def _accept(self) -> Request | None:
        """A request, in the fork that is to do it."""
        connection, _ = self.listener.accept()
        request = _received(connection)
        if request is None or not self._is_like_a_new_process():
            self._refuse(connection, request)
            return None
        pid = os.fork()
        if pid:
            for stream in request.streams:
                os.close(stream)
            self.forks[pid] = connection
            self.events.register(connection, selectors.EVENT_READ, pid)
            _say(connection, f"forked {pid}")
            return None
        connection.detach()  # open until the fork ends: a client that loses the server still sees that end
        self._close_server_resources()
        return request

    def _is_like_a_new_process(self) -> bool:
        return _threads() == 1 and _states(self.source_stamps) == self.source_stamps

    @staticmethod
    def _refuse(connection: socket.socket, request: Request | None) -> None:
        _say(connection, "no")
        connection.close()
        for stream in request.streams if request else ():
            os.close(stream)

    def _close_server_resources(self) -> None:
        """In a fork: let go of everything that is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.events.close()
        self.listener.close()
        for connection in self.forks.values():
            connection.close()
        self.forks.clear()
        os.setpgid(0, 0)
        _end_with_parent()

    def _handle_disconnect(self, pid: int) -> None:
        """A job's own process is gone: what killed it meant the job."""
        with suppress(OSError):
            if not self.forks[pid].recv(1):
                os.kill(pid, signal.SIGKILL)
        self.events.unregister(self.forks[pid])

    def _report_ended(self) -> None:
        for pid in list(self.forks):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                connection, code = self.forks.pop(pid), os.waitstatus_to_exitcode(status)
                with suppress(KeyError):
                    self.events.unregister(connection)
                _say(connection, f"exit {code}" if code >= 0 else f"signal {-code}")
                connection.close()


def _received(connection: socket.socket) -> Request | None:
    """What a client asks for; None if it went away."""
    connection.settimeout(READING_SECONDS)
    streams: list[int] = []
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        text, length = b"", int.from_bytes(size, "big")
        while len(text) < length:
            part = connection.recv(length - len(text))
            if not part:
                raise ConnectionError
            text += part
        asked = json.loads(text)
        return Request(asked["arguments"], asked["environment"], list(streams))
    except (OSError, ValueError, KeyError):
        for stream in streams:
            os.close(stream)
        return None
    finally:
        connection.settimeout(None)


def _say(connection: socket.socket, line: str) -> None:
    with suppress(OSError):  # nobody listens any more
        connection.sendall(f"{line}\n".encode())


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _end_with_parent() -> None:
    """Ask the kernel to send this fork SIGTERM when its server dies."""
    server = os.getppid()
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != server:  # it died before that
        os.kill(os.getpid(), signal.SIGTERM)


def _states(files: Mapping[Path, object]) -> dict[Path, tuple[int, int]]:
    found = {}
    for file in files:
        with suppress(OSError):
            about = file.stat()
            found[file] = (about.st_mtime_ns, about.st_size)
    return found


def load_libraries(experiment: str) -> dict[Path, tuple[int, int]]:
    """Import what jobs of an experiment run, and plan them all once; the state of the source files before that.

    What is missing or wrong here is not said here: each job says it of itself.
    """
    from dcpipe.cli import verbs
    from dcpipe.provenance import code_identity, source_modules
    from dcpipe.workflow.graph import Graph

    sources = _states(dict.fromkeys(source_modules.source_files()))
    modules = {"dcpipe.workflow.execution", "dcpipe.device", *LATE}
    with suppress(DcpipeError):
        code_identity.outdated_keys(verbs.ROOT)
        jobs = [job for job in Graph(verbs.ROOT).experiment_jobs(experiment) if not job.is_view]
        modules |= {module for job in jobs for module in (job.implementation, *job.modules)}
    for module in sorted(modules):
        with suppress(ImportError):
            import_module(module)
    gc.collect()
    gc.freeze()  # or the forks' garbage collectors would write to every page that they share
    return sources


def _apply_request(request: Request) -> None:
    """In a fork: become the process that asked."""
    import numpy as np

    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.stdout = _reopen_stream(sys.stdout, buffering=1 if os.isatty(1) else -1)
    sys.stderr = _reopen_stream(sys.stderr, buffering=1)
    sys.argv = ["dcpipe", *request.arguments]
    np.random.seed()  # Python's own generator is seeded anew in every fork, and torch's begins with a constant


def _reopen_stream(stream: TextIO, *, buffering: int) -> TextIO:
    """A standard stream, opened again: how it is buffered depends on what it leads to."""
    return open(stream.fileno(), "w", buffering, stream.encoding, stream.errors, closefd=False)


def _run_command_line() -> NoReturn:
    """Run the command, and end with its exit code as multiprocessing's forks do: without taking the interpreter apart,
    which would touch every page that is shared, and takes as long as a small job.
    """
    from dcpipe.cli import verbs

    code = 1
    try:
        verbs.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except BaseException:  # `--debug` asks for it
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Listen, load, and fork; in a fork, run the command line of the job."""
    path = Path(sys.argv[1])
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    experiment = (path.parent / EXPERIMENT).read_text()
    server = ForkServer(path, load_libraries(experiment), listener)
    request = server.serve()
    if request is None:
        shutil.rmtree(path.parent, ignore_errors=True)
        return
    _apply_request(request)
    _run_command_line()


if __name__ == "__main__":
    main()
