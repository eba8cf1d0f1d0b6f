"""Trees of plain values, and their dotted keys."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, Value


def replaced_sections(tree: Tree, prefix: str = "") -> list[str]:
    """The dotted keys of the mappings that name a `kind`: they stand for a whole section."""
    sections: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            if "kind" in value:
                sections.append(f"{prefix}{key}")
            else:
                sections += replaced_sections(value, f"{prefix}{key}.")
    return sections


def flatten(tree: Tree, prefix: str = "", *, file: str) -> list[tuple[str, Value]]:
    """The values of a tree by dotted key. Raises: UserError if a key holds a dot."""
    result: list[tuple[str, Value]] = []
    for key, value in tree.items():
        if "." in key:  # DVC would look for the nested key and not find it
            raise UserError(f"{prefix}{key}: a key cannot contain a dot", where=file, remedy="write nested mappings")
        if isinstance(value, dict) and value:
            result += flatten(value, f"{prefix}{key}.", file=file)
        else:
            result.append((f"{prefix}{key}", value))
    return result


def inherit_values(values: dict[str, Value], section: str, old: Sequence[str], where: str) -> set[str]:
    """The keys that a section keeps of the one it replaces: its `inherits`, which is taken out of the `values`.

    Raises: UserError if it is no list, or names what the replaced section lacks or this one states.
    """
    listed = values.pop(f"{section}.inherits", [])
    if not isinstance(listed, list):
        raise UserError("inherits must be a list of keys", where=where, remedy="write for example [span_epochs]")
    keys = {f"{section}.{name}" for name in listed}
    for key in sorted(keys):
        if key not in old or key in values:
            problem = "is stated here, too" if key in values else "is not in the section that this one replaces"
            raise UserError(f"{key} {problem}", where=where, remedy="remove it from the list")
    return keys


def known_keys_hint(key: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown dotted key: the key most like it in the same mapping, or the keys there.

    The first part of the key that is unknown counts, so that a shared beginning makes no two keys alike.
    """
    keys, above, parts = list(known), "", key.split(".")
    for part in parts:
        there = list(dict.fromkeys(one.removeprefix(above).partition(".")[0] for one in keys if one.startswith(above)))
        if not there:
            return f"{above.removesuffix('.')} has no keys below it: write one value"
        if part not in there:
            near = get_close_matches(part, there, n=1)
            place = f" of {above.removesuffix('.')}" if above else ""
            return f"did you mean {above}{near[0]}?" if near else f"known keys{place}: {', '.join(there)}"
        above = f"{above}{part}."
    return f"{key} has keys below it: write them"


def nested(leaves: Mapping[str, Value]) -> Tree:
    """The tree of values by dotted key, in their order."""
    trees: dict[str, Tree] = {"": {}}
    for key, value in leaves.items():
        above, _, last = key.rpartition(".")
        _tree_at(above, trees)[last] = value
    return trees[""]


def _tree_at(key: str, trees: dict[str, Tree]) -> Tree:
    """The mapping at a dotted key; a new one is put into the mapping above it."""
    if key not in trees:
        above, _, last = key.rpartition(".")
        _tree_at(above, trees)[last] = trees[key] = {}
    return trees[key]
