"""Waypoints of a convex path: the epochs between the first and the last whose checkpoints are kept.

A path's name, in paths and commands, lists them: 6-25; none where there are none. 17-34-smoothed: the waypoints and the
end are means of recorded checkpoints beside them.
"""

from dataclasses import dataclass
from itertools import pairwise

from dcpipe.errors import UserError
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.resolve import ResolvedSection

NONE, SMOOTHED = "none", "smoothed"


@dataclass(frozen=True, slots=True)
class Waypoints:
    """The epochs, and whether what stands there is smoothed."""

    epochs: tuple[int, ...]
    smoothed: bool = False

    @classmethod
    def parse(cls, name: str) -> "Waypoints":
        """Of a path's name. Raises: UserError for what is none."""
        listed, smoothed = name.removesuffix(f"-{SMOOTHED}"), name.endswith(f"-{SMOOTHED}")
        numbers = [] if listed == NONE else listed.split("-")
        if not all(number.isdecimal() for number in numbers):
            remedy = f"list epochs as in 6-25 or 17-34-{SMOOTHED}, or write {NONE}"
            raise UserError(f"{name!r} names no epochs", where="waypoints", remedy=remedy)
        return cls(tuple(map(int, numbers)), smoothed)

    @property
    def name(self) -> str:
        """As paths and jobs spell it."""
        listed = "-".join(map(str, self.epochs)) or NONE
        return f"{listed}-{SMOOTHED}" if self.smoothed else listed

    @property
    def num_anchors(self) -> int:
        """Checkpoints that are kept of each expert: both ends and the waypoints."""
        return 2 + len(self.epochs)

    def anchor_epochs(self, last: int) -> tuple[tuple[int, ...], ...]:
        """For each anchor of a path up to epoch `last`, the recorded epochs whose mean stands there.

        Smoothed, a waypoint is the mean of its two neighbours, the end that of the last two; the start stays.
        Source: the public code of MCT (arXiv:2406.19827).
        """
        if not self.smoothed:
            return tuple((epoch,) for epoch in (0, *self.epochs, last))
        return ((0,), *((epoch - 1, epoch + 1) for epoch in self.epochs), (last - 1, last))


def refuse_bad_waypoints(resolved: ResolvedSection, experts: Experts, name: str) -> None:
    """The epochs must increase between the first and the last, and what stands there be kept.

    Raises: UserError.
    """
    where, waypoints = resolved.location_of("kept_epochs"), Waypoints.parse(name)
    epochs = [0, *waypoints.epochs, experts.epochs]
    if any(after <= before for before, after in pairwise(epochs)):
        problem = f"waypoints are not increasing epochs up to the {experts.epochs} of {resolved.file}"
        raise UserError(problem, where=f"path {name}", remedy=f"name increasing epochs between 0 and {experts.epochs}")
    needed = {epoch for one in waypoints.anchor_epochs(experts.epochs) for epoch in one}
    missing = sorted(needed - set(kept_epochs(experts.kept_epochs, experts.epochs)))
    if missing:
        raise UserError(
            f"epoch {missing[0]} is needed by a convex path but not in kept_epochs",
            where=where,
            remedy="add it to kept_epochs",
        )
