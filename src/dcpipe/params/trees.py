"""Trees of plain values, and their dotted keys."""

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, Value


def replaced_sections(tree: Tree, prefix: str = "") -> list[str]:
    """The dotted keys of the mappings that name a `kind`: they stand for a whole section."""
    found: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            if "kind" in value:
                found.append(f"{prefix}{key}")
            else:
                found += replaced_sections(value, f"{prefix}{key}.")
    return found


def flatten(tree: Tree, prefix: str = "", *, file: str) -> list[tuple[str, Value]]:
    """The values of a tree by dotted key. Raises: UserError if a key holds a dot."""
    result: list[tuple[str, Value]] = []
    for key, value in tree.items():
        if "." in key:  # DVC would look for the nested key and not find it
            raise UserError(f"{prefix}{key}: a key holds no dot", where=file, remedy="nest it: one mapping a level")
        if isinstance(value, dict) and value:
            result += flatten(value, f"{prefix}{key}.", file=file)
        else:
            result.append((f"{prefix}{key}", value))
    return result
