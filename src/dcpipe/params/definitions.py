"""Definitions that an experiment file brings along, written into params/ so that every command finds them by name.

The index of sources keeps from which file each of them came. So an edited file replaces what it wrote before, and two
files that define one name differently are refused: as long as both exist.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import FileLock

from dcpipe.params.params_files import section_file_path
from dcpipe.params.source_index import INDEX, SHIPPED, IndexEntry, definition_values, digest, read_index, write_index
from dcpipe.params.strict_yaml import Tree, read_yaml


@dataclass(frozen=True, slots=True)
class Definition:
    """What would be params/<section>/<name>.yaml: its values, the file it comes from, and its place in that file."""

    section: str
    name: str
    tree: Tree
    source: str
    place: str

    @property
    def file(self) -> str:
        """Its path in params/, relative to the project."""
        return section_file_path(self.section, self.name)


def definition_conflict(root: Path, definition: Definition, said_by: Callable[[str], Tree | None]) -> str | None:
    """Why a definition cannot be written into params/; None if it can be, or is there already.

    `said_by` answers what a source of the index says of this name now, None if it is gone or says nothing.
    """
    path = root / definition.file
    if not path.is_file():
        return None
    there = read_yaml(path)
    key = first_difference(definition.tree, there)
    if key is None:
        return None
    entry = read_index(root).get(definition.file)
    if entry is None or entry.digest != digest(there):
        return f"{definition.name} has another definition in {definition.file} ({key} differs)"
    other = said_by(entry.source) if entry.source != definition.source else None
    if other is not None and first_difference(definition.tree, other) is not None:
        return f"{definition.name} has another definition in {entry.source} ({key} differs)"
    return None


def write_definitions(root: Path, definitions: Iterable[Definition]) -> list[str]:
    """Write definitions without a conflict into params/, and note their source; returns the paths that changed."""
    from dcpipe.provenance.durable import write_atomically

    (root / INDEX).parent.mkdir(parents=True, exist_ok=True)
    changed = []
    with FileLock(root / f"{INDEX}.lock"):
        index = read_index(root)
        before = dict(index)
        for one in definitions:
            path, entry = root / one.file, index.get(one.file)
            is_there = path.is_file() and first_difference(read_yaml(path), one.tree) is None
            if is_there and (entry is None or _exists(root, entry.source)):
                continue
            if not is_there:
                head = f"# Written by dcpipe from {one.place}: change it there.\n"
                text = yaml.safe_dump(one.tree, sort_keys=False, allow_unicode=True, width=110)
                write_atomically(path, (head + text).encode())
                changed.append(one.file)
            index[one.file] = IndexEntry(one.source, digest(one.tree))
        if index != before:
            write_index(root, index)
    return changed


def _exists(root: Path, source: str) -> bool:
    return source == SHIPPED or (root / source).is_file()


def first_difference(one: Tree, other: Tree) -> str | None:
    """The dotted key of a value that two definitions do not share; None if they say the same."""
    return _first_difference(definition_values(one), definition_values(other))


def _first_difference(ours: Tree, theirs: Tree) -> str | None:
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key not in ours or key not in theirs:
            return key
        one, other = ours[key], theirs[key]
        if isinstance(one, dict) and isinstance(other, dict):
            inner = _first_difference(one, other)
            if inner:
                return f"{key}.{inner}"
        elif (one, type(one)) != (other, type(other)):
            return key
    return None
