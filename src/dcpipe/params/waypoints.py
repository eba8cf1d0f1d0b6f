"""Waypoints of a convex path: the epochs between the first and the last whose checkpoints are kept."""

from itertools import pairwise

from dcpipe.errors import UserError
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.resolve import ResolvedSection


def refuse_bad_waypoints(resolved: ResolvedSection, experts: Experts, name: str) -> None:
    """The epochs must increase between the first and the last, and be kept. `name` is as in 6-25, or none.

    Raises: UserError.
    """
    where = resolved.place("kept_epochs")
    epochs = [0, *([] if name == "none" else map(int, name.split("-"))), experts.epochs]
    if any(after <= before for before, after in pairwise(epochs)):
        problem = f"waypoints {name} are not increasing epochs up to {experts.epochs}"
        raise UserError(problem, where=where, remedy=f"name increasing epochs between 0 and {experts.epochs}")
    missing = sorted(set(epochs) - set(kept_epochs(experts.kept_epochs, experts.epochs)))
    if missing:
        raise UserError(
            f"epoch {missing[0]} is needed by a convex path but not in kept_epochs",
            where=where,
            remedy="add it to kept_epochs",
        )
