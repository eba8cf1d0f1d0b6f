"""Packages of other people that add axis values or stages: the modules named by the entry point `dcpipe.axes`.

A module may state `AXES_FORMAT`, the number of the interface that it was written for; without it, 1 is meant.
"""

from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points

from dcpipe.errors import UserError

GROUP = "dcpipe.axes"
FORMAT = 1  # of what an axis and a stage ask of their values


@cache
def load_plugins(group: str = GROUP) -> tuple[str, ...]:
    """Import every module of an entry point group, once. Returns the names of the modules.

    Raises: UserError naming the package of an entry point that names no module, or of a module that cannot be imported
    or was written for another interface.
    """
    modules: list[str] = []
    for entry in _entries(group):
        package = entry.dist.name if entry.dist else "an installed package"
        if not entry.pattern.match(entry.value):
            problem = f"{entry.name} = {entry.value!r} is not the name of a module"
            remedy = f'write it as in {entry.name} = "our_package.smoothed_config", and install {package} again'
            raise UserError(problem, where=f"{package}: entry point {group}", remedy=remedy)
        try:
            stated = getattr(entry.load(), "AXES_FORMAT", FORMAT)
        except (Exception, SystemExit) as error:
            remedy = f"reinstall or uninstall {package}"
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            where = f"{package}: {entry.value}"
            raise UserError(f"cannot be imported ({reason})", where=where, remedy=remedy) from error
        if stated != FORMAT:
            problem = f"was written for interface {stated} of dcpipe.axes; this dcpipe has interface {FORMAT}"
            raise UserError(problem, where=f"{package}: {entry.value}", remedy=f"upgrade {package} or dcpipe")
        modules.append(entry.module)
    return tuple(modules)


def _entries(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name. Raises: UserError naming a package whose list of them is malformed."""
    try:
        return sorted(entry_points(group=group), key=lambda entry: entry.name)
    except (TypeError, ValueError) as error:  # of any package and group: Python reads all lists at once
        for package in distributions():
            try:
                len(package.entry_points)
            except (TypeError, ValueError):
                remedy = f"reinstall or uninstall {package.name}"
                raise UserError("its entry_points.txt is malformed", where=package.name, remedy=remedy) from error
        raise
