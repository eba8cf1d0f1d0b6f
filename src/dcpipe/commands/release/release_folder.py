"""A folder that is handed on: whole or not there, and its own SHA256SUMS says whether it still is what was released."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.params import formats
from dcpipe.provenance.artifact import TEMPORARY, flush, sha256

SUMS = "SHA256SUMS"
FORMAT = 2  # of released folders
_FIRST = "dcpipe release 1"  # how the first format said its number; it is the same in all else


def refuse_existing(folder: Path) -> None:
    """Raises: UserError if something is there: a release is never mixed with what it finds."""
    if folder.exists() or folder.is_symlink():
        raise UserError("exists already", where=str(folder), remedy="name another folder with --to, or remove this one")


def publish(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write files (by their path in the folder) and SHA256SUMS, in the format of sha256sum, whole or not at all.

    Raises: UserError if the folder exists or cannot be written.
    """
    refuse_existing(folder)
    lines = [f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content)]
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    try:
        for name, data in {**content, SUMS: "".join(lines).encode()}.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        flush(temporary)
        os.rename(temporary, folder)
    except OSError as error:
        remedy = "make room, or name a folder that you may write to with --to"
        what = f"cannot be written ({error.strerror}); nothing was left there"
        raise UserError(what, where=str(folder), remedy=remedy) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_format(found: object, where: str) -> None:
    """Raises: UserError if this version does not read folders of that format."""
    formats.checked(1 if found == _FIRST else found, newest=FORMAT, where=where)


def verify(folder: Path) -> None:
    """Compare every file that was released with its sum; files that others put beside them do not matter.

    Raises: UserError if the folder is no release; CorruptArtifactError naming the first file that differs.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError as error:
        remedy = "give the folder that `dcpipe release` made"
        raise UserError(f"is no released set: it has no {SUMS}", where=str(folder), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise _corrupt(folder / SUMS, "is not readable as sums") from error
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(path, "is missing")
        if sha256(path) != digest:
            raise _corrupt(path, f"is not what was released (its SHA-256 differs from {SUMS})")


def _corrupt(path: Path, what: str) -> CorruptArtifactError:
    return CorruptArtifactError(what, where=str(path), remedy="copy or download the released folder again, whole")
