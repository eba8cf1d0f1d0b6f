"""Which accelerator of this machine a process may use, in the order in which they asked.

One process a device, or as many as DCPIPE_JOBS_PER_DEVICE says: small jobs leave most of a device idle. A device, or a
process's part of it, is a file that its holder locks, and so is a place in the queue; the kernel drops both when the
process dies, however it dies. Nothing is ever left to clean up, and who came first is served first. Locks are those of
one user on one machine.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from dcpipe.errors import UserError

SIMULATED = "DCPIPE_SIMULATED_DEVICES"  # that many devices to share, on a machine that need not have one
PER_DEVICE = "DCPIPE_JOBS_PER_DEVICE"
POLL_SECONDS = 0.1

_held: dict[str, BaseFileLock] = {}  # the device this process took, and its lock: held until the process ends


def simulated_devices() -> tuple[str, ...]:
    """The names of the simulated devices; none unless DCPIPE_SIMULATED_DEVICES says how many.

    Raises: UserError if it is not a whole number from 1.
    """
    return tuple(f"simulated-{index}" for index in range(_whole_number(SIMULATED, "devices") or 0))


def _whole_number(variable: str, counted: str) -> int | None:
    """What a variable of the environment says; None where it is unset. Raises: UserError if it is no number from 1."""
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        problem = f"{text!r} is not a number of {counted}"
        raise UserError(problem, where=variable, remedy="write a whole number from 1, or unset it")
    return int(text)


def take_device(devices: Sequence[str], while_waiting: Callable[[], None] = lambda: None) -> int:
    """Wait for the first free device, hold it until this process ends, and return its place in `devices`.

    Where several processes may share one, the first ones get a device each. A process that holds one keeps it.
    `while_waiting` is called while waiting and may raise to give up.
    Raises: UserError if DCPIPE_JOBS_PER_DEVICE is not a whole number from 1.
    """
    shares = range(_whole_number(PER_DEVICE, "jobs") or 1)
    slots = [f"{name}.{share}" if share else name for share in shares for name in devices]
    for name in _held:
        return slots.index(name) % len(devices)
    folder = Path(tempfile.gettempdir()) / f"dcpipe-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with _place_in_queue(folder, slots) as place:
        while True:
            while_waiting()
            with _queue_lock(folder):
                wanted_before = _device_names_wanted_before(place)
                for index, name in enumerate(slots):
                    lock = None if name in wanted_before else _try_lock(folder / f"{name}.lock")
                    if lock is not None:
                        _held[name] = lock
                        return index % len(devices)
            time.sleep(POLL_SECONDS)


def _make_lock(path: Path) -> BaseFileLock:
    """The lock of a file, for a process to hold and not for a thread.

    Never a soft lock, which the dead would keep: where the file system has no flock, that is an error.
    """
    return FileLock(path, fallback_to_soft=False, thread_local=False, poll_interval=0.005)


def _try_lock(path: Path) -> BaseFileLock | None:
    """The lock of a file, held; None if somebody else holds it."""
    lock = _make_lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def _queue_lock(folder: Path) -> Iterator[None]:
    """For the moment it takes to look at the queue."""
    with _make_lock(folder / "queue.lock"):
        yield


@contextmanager
def _place_in_queue(folder: Path, slots: Sequence[str]) -> Iterator[Path]:
    """A file, locked while this process waits, that says when it came (its name) and what it would take."""
    place = folder / f"{time.monotonic_ns():020d}-{os.getpid()}.waiting"
    with _queue_lock(folder):
        lock = _make_lock(place)
        lock.acquire()
        place.write_text("\n".join(slots))
    try:
        yield place
    finally:
        place.unlink(missing_ok=True)
        lock.release()


def _device_names_wanted_before(place: Path) -> set[str]:
    """The devices that those who came earlier, and still live, are waiting for."""
    names: set[str] = set()
    for other in place.parent.glob("*.waiting"):
        if other.name >= place.name:
            continue
        left = _try_lock(other)
        if left is not None:  # its process died, or left the queue in this moment
            other.unlink(missing_ok=True)
            left.release()
            continue
        try:
            names.update(other.read_text().split("\n"))
        except FileNotFoundError:  # left the queue in this moment
            continue
    return names
