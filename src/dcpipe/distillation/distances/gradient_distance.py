"""How different two gradients of one network are, layer by layer and output by output.

Legend: P parameters, R rows of a layer, L their length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation.distances.row_distances import RowDistance, angle
from dcpipe.models.flat import TensorSpec


def rows(vector_P: Tensor, layout: Sequence[TensorSpec]) -> Iterator[Tensor]:
    """Each tensor of two or more dimensions as a matrix with a row for each output (its first dimension).

    Tensors of one dimension (biases, scales and shifts of norms) are left out: they count nothing.
    Source: the reshaping of DC's public code.
    """
    for spec, piece in zip(layout, torch.split(vector_P, [spec.size for spec in layout]), strict=True):
        if len(spec.shape) > 1:
            yield piece.view(spec.shape[0], -1)


@dataclass(frozen=True, slots=True)
class GradientDistance:
    """The weight of the angle between rows, and another distance of rows with its weight."""

    angle_weight: float
    magnitude: RowDistance
    magnitude_weight: float

    def __call__(self, a_P: Tensor, b_P: Tensor, layout: Sequence[TensorSpec]) -> Tensor:
        """The sum of all rows' distances (0-d), differentiable in both gradients.

        Source: equation 7 of arXiv:2208.00311 with the rows of equations 8 and 9; its footnote 5 for another weight.
        """
        total = a_P.new_zeros(())
        for a_RL, b_RL in zip(rows(a_P, layout), rows(b_P, layout), strict=True):
            if self.angle_weight:
                total = total + self.angle_weight * angle(a_RL, b_RL).sum()
            if self.magnitude_weight:
                total = total + self.magnitude_weight * self.magnitude(a_RL, b_RL).sum()
        return total
