"""Where the definitions that dcpipe wrote into params/ come from: `.dcpipe/sources.json`, which git does not see."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, read_yaml

INDEX = ".dcpipe/sources.json"
SHIPPED = "shipped"  # the source of what came with the package


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What the index says of a file of params/: its source, and the digest of the values that were written."""

    source: str
    digest: str


def definition_values(tree: Tree) -> Tree:
    """What a definition says, however it states its format and name."""
    return {key: value for key, value in tree.items() if key not in {"format", "name"}}


def digest(tree: Tree) -> str:
    """SHA-256 of a definition's values."""
    return hashlib.sha256(json.dumps(definition_values(tree), sort_keys=True).encode()).hexdigest()


def read_index(root: Path) -> dict[str, IndexEntry]:
    """The index of a project, by the path in params/; empty where there is none. Raises: UserError."""
    path = root / INDEX
    if not path.is_file():
        return {}
    try:
        return {file: IndexEntry(**entry) for file, entry in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError("cannot be read", where=INDEX, remedy="remove it: it is written again") from error


def write_index(root: Path, index: Mapping[str, IndexEntry]) -> None:
    """Replace the index of a project."""
    from dcpipe.provenance.durable import write_atomically

    entries = {file: {"source": index[file].source, "digest": index[file].digest} for file in sorted(index)}
    write_atomically(root / INDEX, (json.dumps(entries, indent=1) + "\n").encode())


def is_unedited_copy(root: Path, file: str, source: str) -> bool:
    """Whether a file of params/ is what was written there from a source, and nobody has edited it since."""
    entry = read_index(root).get(file)
    return entry is not None and entry.source == source and entry.digest == digest(read_yaml(root / file))
