"""Packages of other people that add axis values or stages: the modules named by the entry point `dcpipe.axes`.

A module may state `AXES_FORMAT`, the number of the interface that it was written for; without it, 1 is meant.
"""

from functools import cache
from importlib.metadata import entry_points

from dcpipe.errors import UserError

GROUP = "dcpipe.axes"
FORMAT = 1  # of what an axis and a stage ask of their values


@cache
def load_plugins(group: str = GROUP) -> tuple[str, ...]:
    """Import every module of an entry point group, once. Returns the names of the modules.

    Raises: UserError naming the package of a module that cannot be imported, or was written for another interface.
    """
    modules: list[str] = []
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist else "an installed package"
        try:
            stated = getattr(entry.load(), "AXES_FORMAT", FORMAT)
        except (Exception, SystemExit) as error:
            remedy = f"repair or uninstall {package}"
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            where = f"{package}: {entry.value}"
            raise UserError(f"cannot be imported ({reason})", where=where, remedy=remedy) from error
        if stated != FORMAT:
            problem = f"was written for interface {stated} of dcpipe.axes; this dcpipe has interface {FORMAT}"
            raise UserError(problem, where=f"{package}: {entry.value}", remedy=f"upgrade {package} or dcpipe")
        modules.append(entry.module)
    return tuple(modules)
