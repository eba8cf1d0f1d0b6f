"""Copies of shipped params in a project, for DVC, which reads every value from a file below the project's root.

An unedited copy is not the project's own: the shipped file is read, and a newer version of it replaces the copy.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from dcpipe.params import shipped
from dcpipe.params.params_files import SHIPPED_FOLDER
from dcpipe.params.source_index import INDEX, SHIPPED, IndexEntry, digest, read_index, write_index
from dcpipe.params.strict_yaml import read_yaml


def write_copies(root: Path, files: Iterable[str]) -> list[str]:
    """Copy those of the files that are shipped and not the project's own; returns the paths that changed.

    Does nothing in a source tree.
    """
    if not shipped.is_project(root):
        return []
    changed = []
    with FileLock(root / f"{INDEX}.lock"):
        index = read_index(root)
        for file in sorted(set(files)):
            source = shipped.shipped_folder() / file.replace(SHIPPED_FOLDER, "params", 1)
            is_own = (root / file).is_file() and not shipped.is_copy(root, file)
            if is_own or not file.startswith("params/") or not source.is_file():
                continue
            entry = IndexEntry(SHIPPED, digest(read_yaml(source)))
            if index.get(file) != entry or not (root / file).is_file():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, root / file)
                index[file] = entry
                changed.append(file)
        if changed:
            write_index(root, index)
    return changed
