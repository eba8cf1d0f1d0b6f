"""The folder of a release: it appears whole or not at all, and its SHA256SUMS shows whether a file was changed."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.params import formats
from dcpipe.provenance import durable
from dcpipe.provenance.artifact import sha256

SUMS = "SHA256SUMS"
FORMAT = 2  # of released folders
ALWAYS = ("README.md", "train.py")  # files that every release has, beside those that are read
MAX_LIST = 2**20  # bytes; one of 10,000 classes has half as many
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9._/-]*)")
_FIRST = "dcpipe release 1"  # how the first format said its number; it is the same in all else


def refuse_existing(folder: Path) -> None:
    """Raises: UserError if the folder exists: a release is never mixed with other files."""
    if folder.exists() or folder.is_symlink():
        raise UserError("exists already", where=str(folder), remedy="choose another folder, or remove this one")


def publish(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write files (by their path in the folder) and SHA256SUMS, in the format of sha256sum, whole or not at all.

    Raises: UserError if the folder exists or cannot be written.
    """
    refuse_existing(folder)
    lines = [f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content)]
    temporary = durable.temporary_path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        durable.remove_leftovers(folder.parent)
        for name, data in {**content, SUMS: "".join(lines).encode()}.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        durable.fsync_tree(temporary)
        os.rename(temporary, folder)
        durable.fsync_path(folder.parent)
    except OSError as error:
        remedy = "free some disk space, or choose a folder that you may write to"
        problem = f"cannot be written ({error.strerror}); no file was left there"
        raise UserError(problem, where=str(folder), remedy=remedy) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_format(number: object, where: str) -> None:
    """Raises: UserError if this version does not read folders of that format."""
    formats.checked_format(1 if number == _FIRST else number, newest=FORMAT, where=where)


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The content of some files of a release, after every file that it lists was compared with its sum.

    What is returned is what was compared. Other files in the folder are ignored.
    Raises: UserError if the folder is not a release; CorruptArtifactError naming the first file that is not listed,
    lies outside of the folder, or differs.
    """
    sums = _listed(folder)
    for name in (*names, *ALWAYS):
        if name not in sums:
            raise _corrupt(folder / SUMS, f"does not list {name}")
    found = {}
    for name, digest in sums.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise _corrupt(path, "is a link to a place outside of the release")
        if not path.is_file():
            raise _corrupt(path, "is missing")
        content = path.read_bytes() if name in names else b""
        if (hashlib.sha256(content).hexdigest() if name in names else sha256(path)) != digest:
            raise _corrupt(path, f"was changed after the release (its SHA-256 differs from {SUMS})")
        if name in names:
            found[name] = content
    return found


def _listed(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says: the digest of each file by its path in the folder."""
    try:
        if (folder / SUMS).stat().st_size > MAX_LIST:
            raise _corrupt(folder / SUMS, "is too long for a list of SHA-256 sums")
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        remedy = "pass the folder that `dcpipe release` made"
        raise UserError(f"is not a released set: it has no {SUMS}", where=str(folder), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise _corrupt(folder / SUMS, "cannot be read as a list of SHA-256 sums") from error
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line)
        if found is None or ".." in PurePosixPath(found.group(2)).parts:
            raise _corrupt(folder / SUMS, f"line {number} is not the SHA-256 of a file in this folder")
        if found.group(2) in sums:
            raise _corrupt(folder / SUMS, f"line {number} names {found.group(2)} a second time")
        sums[found.group(2)] = found.group(1)
    return sums


def _corrupt(path: Path, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(problem, where=str(path), remedy="copy or download the whole released folder again")
