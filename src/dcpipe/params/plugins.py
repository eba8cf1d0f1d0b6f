"""Packages of other people that add axis values or stages: the modules named by the entry point `dcpipe.axes`."""

from functools import cache
from importlib.metadata import entry_points

from dcpipe.errors import UserError

GROUP = "dcpipe.axes"


@cache
def load(group: str = GROUP) -> tuple[str, ...]:
    """Import every module of an entry point group, once. Returns the names of the modules.

    Raises: UserError naming the package of a module that cannot be imported.
    """
    modules: list[str] = []
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else "an installed package"
        try:
            entry.load()
        except Exception as error:
            remedy = f"repair or uninstall {package}"
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            where = f"{package}: {entry.value}"
            raise UserError(f"cannot be imported ({reason})", where=where, remedy=remedy) from error
        modules.append(entry.module)
    return tuple(modules)
