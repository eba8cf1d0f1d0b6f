"""Packages of others that add to dcpipe: what they register, they register when they are imported.

Such a package names a module of its own under the entry point group `dcpipe.axes`, for example in its pyproject.toml:

    [project.entry-points."dcpipe.axes"]
    robust = "our_package.robust_plan"
"""

from functools import cache
from importlib.metadata import entry_points

from dcpipe.errors import UserError

GROUP = "dcpipe.axes"


@cache
def load(group: str = GROUP) -> tuple[str, ...]:
    """Import every entry point of a group, once. Returns the top-level packages that they are in.

    Raises: UserError naming the distribution whose entry point cannot be imported.
    """
    packages = set()
    for point in sorted(entry_points(group=group), key=lambda point: (point.value, point.name)):
        try:
            point.load()
        except Exception as error:  # whatever a stranger's module raises
            owner = point.dist.name if point.dist else point.name
            what = f"its entry point {point.name} = {point.value} cannot be imported ({error})"
            remedy = f"update {owner}, or uninstall it"
            raise UserError(what, where=f"the installed package {owner}", remedy=remedy) from error
        packages.add(point.module.partition(".")[0])
    return tuple(sorted(packages))
