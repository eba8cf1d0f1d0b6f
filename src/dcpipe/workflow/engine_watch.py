"""A job whose engine was killed saves its state and leaves, so that the same command goes on from there.

The first process of a run puts its key into the environment of all that it starts. A job of the same host and process
namespace looks once a second whether that process is still there. Jobs of a scheduler are left to the scheduler.
"""

import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT_VARIABLE = "DCPIPE_RUN"
EVERY_SECONDS = 1.0


def key(host: str, namespace: str, pid: int) -> str:
    """What names the first process of a run."""
    return f"{host}/{namespace}/{pid}"


def namespace() -> str:
    """The namespace that numbers of processes belong to; empty where the system has only one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@contextmanager
def watching_engine(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` once if the run that this job belongs to has lost its first process, now or later."""
    pid = engine_pid()
    if pid is None or pid == os.getpid() or "SLURM_JOB_ID" in os.environ:
        yield
        return
    over, first = threading.Event(), start_time(pid)

    def watch() -> None:
        while start_time(pid) == first is not None:
            if over.wait(EVERY_SECONDS):
                return
        stop()

    thread = threading.Thread(target=watch, name="engine-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def engine_pid() -> int | None:
    """The number of the run's first process, if it is of this host and namespace."""
    here, _, number = os.environ.get(ENVIRONMENT_VARIABLE, "").rpartition("/")
    if not number.isdecimal():
        return None
    return int(number) if key(platform.node(), namespace(), int(number)) == f"{here}/{number}" else None


def start_time(pid: int) -> str | None:
    """When a process began, in the kernel's clock ticks; None if it is gone, or dead and only not yet waited for."""
    if not Path("/proc/self/stat").exists():
        return _without_proc(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def _without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
