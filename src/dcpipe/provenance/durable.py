"""The one way to write files: whole or not at all, also if the machine stops, and with nothing left beside them.

A file is made under a temporary name beside its place, flushed to disk, and renamed. The name holds this machine and
this process, so that what a killed process left behind is known and removed by the next one that writes there.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcpipe.errors import DcpipeError

TEMPORARY_PREFIX = ".dcpipe-tmp-"
ENGINE_FILES = {".snakemake_timestamp"}  # Snakemake drops this file into every folder it calls an output
DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT}
_DISK_FULL_MESSAGE = re.compile(r"No space left on device|StorageFull|QuotaExceeded|Disk quota exceeded")
_NAME = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?:([0-9a-f]{{8}})-)?([0-9]+)-.*")


def temporary_path(path: Path) -> Path:
    """A name beside a place, for what this process will put there."""
    return path.with_name(f"{TEMPORARY_PREFIX}{_host()}-{os.getpid()}-{path.name}")


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def write_atomically(path: Path, content: bytes) -> None:
    """Put bytes at a path: whole or not at all, also if the machine stops. A write that fails leaves nothing."""
    with writing_last(path, content):
        pass


@contextmanager
def writing_last(path: Path, content: bytes) -> Iterator[None]:
    """The same at the end of a block, which begins when the bytes are on the disk: a full one fails before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = temporary_path(path)
    try:
        temporary.write_bytes(content)
        fsync_tree(temporary)
        yield
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def write_json(path: Path, value: object) -> None:
    """Put a value at a path as JSON, atomically, its keys sorted."""
    write_atomically(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """A value as JSON files here have it: its keys sorted."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def move_into_place(temporary: Path, target: Path) -> None:
    """Rename what was written to its name; a folder that has the name is moved aside first, and removed."""
    if target.is_dir() and not target.is_symlink():
        old = temporary_path(target.with_name(f"old-{target.name}"))
        os.replace(target, old)
        os.replace(temporary, target)
        shutil.rmtree(old)
    else:
        os.replace(temporary, target)


def fsync_tree(path: Path) -> None:
    """Make sure that a file, or every file of a folder, has reached the disk. Raises: FileNotFoundError."""
    path.stat()  # a payload that was never written must not cost the older artifact
    folders = [path, *(inner for inner in path.rglob("*") if inner.is_dir())] if path.is_dir() else []
    for file in [*files_below(path), *reversed(folders)]:
        fsync_path(file)


def fsync_path(path: Path) -> None:
    """Make sure that one file, or the names in one folder, have reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def files_below(path: Path) -> list[Path]:
    """A file itself, or all files below a folder in the order of their names; foreign marks left out."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name not in ENGINE_FILES)


def remove_leftovers(folder: Path, *, everything: bool = False) -> None:
    """Remove what processes of this machine that are dead began to write in a folder; `everything`: of living ones too.

    Only whoever holds a lock on the folder may ask for everything. What another machine began is left to it.
    """
    for left in [*folder.glob(f"{TEMPORARY_PREFIX}*")]:
        if everything or _is_dead(left.name):
            with suppress(FileNotFoundError):  # another process removed it at this moment
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _is_dead(name: str) -> bool:
    found = _NAME.fullmatch(name)
    if found is None or found.group(1) not in {None, _host()}:
        return False
    try:
        os.kill(int(found.group(2)), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def is_full_disk(error: BaseException | None) -> bool:
    """Whether a full disk is the reason of an error, or of one that it was raised from.

    Libraries that write by themselves, as safetensors does, say it in their text alone.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS:
            return True
        if _DISK_FULL_MESSAGE.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def explaining_full_disk(places: Iterable[Path], left: str) -> Iterator[None]:
    """Raises: DcpipeError naming the fullest of these places, if what is done inside fails for a full disk.

    `left` says what there is now, such as "nothing was published".
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        folders = [next(folder for folder in (path, *path.parents) if folder.exists()) for path in places]
        fullest = min(folders, key=lambda folder: shutil.disk_usage(folder).free)
        remedy = "free some space, then start the same command again"
        raise DcpipeError(f"the disk is full; {left}", where=str(fullest), remedy=remedy) from error
