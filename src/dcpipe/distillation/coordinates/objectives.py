"""Objectives of the student's last parameters, and their restriction to some coordinates.

Legend: P parameters, all layers in one vector.
"""

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from dcpipe.distillation.hypergradient.hypergradient_problem import Objective
    from dcpipe.distillation.start_noise.student_starts import Distance


class CoordinateRule(Protocol):
    """A distance, and the target (P) that it measures to -> the objective over the coordinates that count."""

    def __call__(self, distance: "Distance", target_P: Tensor, /) -> "Objective": ...


def unrestricted(distance: "Distance", _target_P: Tensor) -> "Objective":
    """The distance itself."""
    return distance
