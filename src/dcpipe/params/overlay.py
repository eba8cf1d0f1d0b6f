"""Values of a file laid over those of its base: which keys it may change, and which of the base's it replaces."""

from collections.abc import Callable

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, Value
from dcpipe.params.trees import flatten, inherit_values, known_keys_hint, replaced_sections
from dcpipe.params.value_origin import ResolvedValue, location_text


def overlay_values(
    leaves: dict[str, ResolvedValue],
    tree: Tree,
    *,
    file: str,
    prefix: str,
    resolved: Callable[[str, Value], ResolvedValue],
    only_known: bool,
    later: frozenset[str],
) -> None:
    """Put the values of a file, or of one of its overrides, into `leaves`, which hold those of its base.

    Args: `prefix` is where the tree stands in the file; `resolved` adds to a key of the file and its value where it
    stands and what it is taken from. With `only_known` a key must be in `leaves`, or in `later`, or inside a section
    that the tree replaces.
    Raises: UserError naming file and key.
    """
    fresh, values = replaced_sections(tree), dict(flatten(tree, file=file))
    for section in fresh:
        old = [key for key in leaves if key == section or key.startswith(f"{section}.")]  # `initial: real` is one, too
        if only_known and not old and section not in later:
            raise UserError(f"unknown key {prefix}{section}", where=file, remedy="name a section that the base has")
        for key in set(old) - inherit_values(
            values, section, old, where=location_text(file, f"{prefix}{section}.inherits")
        ):
            del leaves[key]
    for key, value in values.items():
        inside_fresh = any(key == one or key.startswith(f"{one}.") for one in (*fresh, *later))
        if f"{key}.kind" in leaves:  # a value in short takes the place of one in full
            for inner in [inner for inner in leaves if inner.startswith(f"{key}.")]:
                del leaves[inner]
            inside_fresh = True
        if only_known and key not in leaves and not inside_fresh:
            raise UserError(f"unknown key {prefix}{key}", where=file, remedy=known_keys_hint(key, leaves))
        leaves[key] = resolved(f"{prefix}{key}", value)
