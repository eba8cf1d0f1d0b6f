"""How different two gradients of one network are, row by row.

Legend: P parameters, R rows, L their length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dcpipe.distillation.distances.gradient_rows import Rows
from dcpipe.distillation.distances.row_distances import RowDistance, cosine_distance
from dcpipe.models.flat import TensorSpec


@dataclass(frozen=True, slots=True)
class GradientDistance:
    """What a row is, the weight of the angle between rows, and another distance of rows with its weight."""

    rows: Rows
    angle_weight: float
    magnitude: RowDistance
    magnitude_weight: float

    def __call__(self, a_P: Tensor, b_P: Tensor, layout: Sequence[TensorSpec]) -> Tensor:
        """The sum of all rows' distances (0-d), differentiable in both gradients.

        Source: equation 7 of arXiv:2208.00311 with the rows of equations 8 and 9; its footnote 5 for another weight.
        """
        total = a_P.new_zeros(())
        for a_RL, b_RL in zip(self.rows(a_P, layout), self.rows(b_P, layout), strict=True):
            if self.angle_weight:
                total = total + self.angle_weight * cosine_distance(a_RL, b_RL).sum()
            if self.magnitude_weight:
                total = total + self.magnitude_weight * self.magnitude(a_RL, b_RL).sum()
        return total
