"""Writing the report's files: all of them or none; files of an earlier report are deleted.

Whatever fails, the files of before are back in their places. Only a process that is killed between two renames leaves
new files beside old ones: both engines, and `dcpipe run`, then make the report again.
"""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dcpipe.errors import UserError
from dcpipe.provenance import durable


def write_views(views: Mapping[Path, bytes]) -> None:
    """Put every file in its place; a write that fails leaves the files of before, and nothing beside them.

    Raises: UserError naming the file that cannot be written.
    """
    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, content in views.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if path.parent not in {other.parent for other in staged}:
                durable.remove_leftovers(path.parent)
            staged[path] = durable.temporary_path(path)
            staged[path].write_bytes(content)
            durable.fsync_tree(staged[path])
        _replace_files(staged)
    except OSError as error:
        remedy = "free some disk space, or use a folder that you may write to"
        raise UserError(f"cannot be written ({error.strerror})", where=str(path), remedy=remedy) from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _replace_files(staged: Mapping[Path, Path]) -> None:
    """Rename every file to its place; if one cannot be, those of before come back."""
    before, done = {path: path.read_bytes() if path.exists() else None for path in staged}, list[Path]()
    try:
        for path, temporary in staged.items():
            os.replace(temporary, path)
            done.append(path)
    except BaseException:
        for path in done:
            content = before[path]
            durable.write_atomically(path, content) if content is not None else path.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in staged}:
        durable.fsync_path(folder)


def listed_files(crate: Path) -> set[Path]:
    """The files that an earlier report's ro-crate-metadata.json lists; none where there is no such file."""
    try:
        entities = json.loads(crate.read_text())["@graph"]
        names = [PurePosixPath(one["@id"]) for one in entities if one["@type"] == "File"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {crate.parent / name for name in names if not name.is_absolute() and ".." not in name.parts}


def remove_files(paths: set[Path]) -> None:
    """Delete files that are no part of the report any more."""
    for path in paths:
        path.unlink(missing_ok=True)
