"""Distances of two gradients of one layer, row by row.

Legend: R rows of a layer, L their length.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EPSILON = 1e-6  # of DC's public code: the distance of a row to itself is EPSILON / (its square + EPSILON)

RowDistance = Callable[[Tensor, Tensor], Tensor]
"""Two layers' gradients (R x L each) -> a distance a row (R)."""


def cosine_distance(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """1 - cos of the angle between rows (R), between 0 and 2; 1 where a row is 0, with derivative 0.

    Source: equation 8 of arXiv:2208.00311, which is the distance of DC (arXiv:2006.05929).
    """
    return 1.0 - (a_RL * b_RL).sum(dim=1) / (_row_norms(a_RL) * _row_norms(b_RL) + EPSILON)


def euclidean(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b| of rows (R); where they are equal its derivative is taken to be 0. Source: equation 9, and d_2 there."""
    return _row_norms(a_RL - b_RL)


def zero(a_RL: Tensor, _b_RL: Tensor) -> Tensor:
    """0 for every row (R)."""
    return a_RL.new_zeros(len(a_RL))


def squared(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b|^2 of rows (R). Source: d_3 of arXiv:2208.00311, section 4.3."""
    return (a_RL - b_RL).square().sum(dim=1)


def mean_squared(a_RL: Tensor, b_RL: Tensor) -> Tensor:
    """|a - b|^2 over the length of the rows (R). Source: d_4 of arXiv:2208.00311, section 4.3."""
    return (a_RL - b_RL).square().mean(dim=1)


def _row_norms(a_RL: Tensor) -> Tensor:
    # this norm, unlike the root of a sum, has derivative 0 at 0: units that never fire give rows of zeros
    lengths_R: Tensor = torch.linalg.vector_norm(a_RL, dim=1)
    return lengths_R


MAGNITUDES: dict[str, RowDistance] = {"euclidean": euclidean, "squared": squared, "mean-squared": mean_squared}
