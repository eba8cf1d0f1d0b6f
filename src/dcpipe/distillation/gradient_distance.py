"""How different two gradients of one network are, layer by layer and output by output.

Legend: P parameters, R rows of a layer, L their length.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dcpipe.models.flat import TensorSpec
from dcpipe.params.gradient import Distance, NoMagnitude

EPSILON = 1e-6  # of DC's public code: the distance of a row to itself is EPSILON / (its square + EPSILON)

RowDistance = Callable[[Tensor, Tensor], Tensor]
"""Two layers' gradients (R x L each) -> a distance a row (R)."""


def angle(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """1 - cos of the angle between rows (R), between 0 and 2; 1 where a row is 0, with derivative 0.

    Source: equation 8 of arXiv:2208.00311, which is the distance of DC (arXiv:2006.05929).
    """
    return 1.0 - (a_RL * b_RL).sum(dim=1) / (_lengths(a_RL) * _lengths(b_RL) + EPSILON)


def euclidean(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b| of rows (R); where they are equal its derivative is taken to be 0. Source: equation 9, and d_2 there."""
    return _lengths(a_RL - b_RL)


def squared(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b|^2 of rows (R). Source: d_3 of arXiv:2208.00311, section 4.3."""
    return (a_RL - b_RL).square().sum(dim=1)


def mean_squared(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b|^2 over the length of the rows (R). Source: d_4 of arXiv:2208.00311, section 4.3."""
    return (a_RL - b_RL).square().mean(dim=1)


def _lengths(a_RL: Tensor) -> Tensor:
    # this norm, unlike the root of a sum, has derivative 0 at 0: units that never fire give rows of zeros
    lengths_R: Tensor = torch.linalg.vector_norm(a_RL, dim=1)
    return lengths_R


MAGNITUDES: dict[str, RowDistance] = {"euclidean": euclidean, "squared": squared, "mean-squared": mean_squared}


def rows(vector_P: Tensor, layout: Sequence[TensorSpec]) -> Iterator[Tensor]:
    """Each tensor of two or more dimensions as a matrix with a row for each output (its first dimension).

    Tensors of one dimension (biases, scales and shifts of norms) are left out: they count nothing.
    Source: the reshaping of DC's public code.
    """
    for spec, piece in zip(layout, torch.split(vector_P, [spec.size for spec in layout]), strict=True):
        if len(spec.shape) > 1:
            yield piece.view(spec.shape[0], -1)


def gradient_distance(a_P: Tensor, b_P: Tensor, layout: Sequence[TensorSpec], what: Distance) -> Tensor:
    """The sum of all rows' distances (0-d), differentiable in both gradients.

    Source: equation 7 of arXiv:2208.00311 with the rows of equations 8 and 9; its footnote 5 for another weight.
    """
    total = a_P.new_zeros(())
    for a_RL, b_RL in zip(rows(a_P, layout), rows(b_P, layout), strict=True):
        if what.angle:
            total = total + what.angle * angle(a_RL, b_RL).sum()
        if not isinstance(what.magnitude, NoMagnitude):
            total = total + what.magnitude.weight * MAGNITUDES[what.magnitude.kind](a_RL, b_RL).sum()
    return total
