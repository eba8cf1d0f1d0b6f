"""The folder of a release: it appears whole or not at all, and its SHA256SUMS shows whether a file was changed."""

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
    """Raises: UserError if the folder exists: a release is never mixed with other files."""
    if folder.exists() or folder.is_symlink():
        raise UserError(
            "exists already", where=str(folder), remedy="choose another folder with --to, or remove this one"
        )


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
        remedy = "free some disk space, or choose a folder that you may write to with --to"
        problem = f"cannot be written ({error.strerror}); no file was left there"
        raise UserError(problem, where=str(folder), remedy=remedy) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_format(number: object, where: str) -> None:
    """Raises: UserError if this version does not read folders of that format."""
    formats.checked_format(1 if number == _FIRST else number, newest=FORMAT, where=where)


def verify(folder: Path) -> None:
    """Compare every file that was released with its sum; other files in the folder are ignored.

    Raises: UserError if the folder is not a release; CorruptArtifactError naming the first file that differs.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError as error:
        remedy = "pass the folder that `dcpipe release` made"
        raise UserError(f"is not a released set: it has no {SUMS}", where=str(folder), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise _corrupt(folder / SUMS, "cannot be read as a list of SHA-256 sums") from error
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(path, "is missing")
        if sha256(path) != digest:
            raise _corrupt(path, f"was changed after the release (its SHA-256 differs from {SUMS})")


def _corrupt(path: Path, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(problem, where=str(path), remedy="copy or download the released folder again, whole")
