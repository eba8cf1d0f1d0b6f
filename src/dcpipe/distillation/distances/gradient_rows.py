"""The rows of a gradient: what is compared with what where two gradients of one network are.

Legend: P parameters, R rows of a tensor, L their length.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from dcpipe.models.flat import TensorSpec

Rows = Callable[[Tensor, Sequence[TensorSpec]], Iterable[Tensor]]
"""(a gradient (P), the layout of its tensors) -> matrices of rows (R x L each)."""


def rows_per_output(vector_P: Tensor, layout: Sequence[TensorSpec]) -> Iterator[Tensor]:
    """Each tensor of two or more dimensions as a matrix with a row for each output (its first dimension).

    Tensors of one dimension (biases, scales and shifts of norms) are left out: they count nothing.
    Source: the reshaping of DC's public code.
    """
    for spec, piece in zip(layout, torch.split(vector_P, [spec.size for spec in layout]), strict=True):
        if len(spec.shape) > 1:
            yield piece.view(spec.shape[0], -1)


def single_row(vector_P: Tensor, _layout: Sequence[TensorSpec]) -> Iterator[Tensor]:
    """The whole gradient as one row, tensors of one dimension among it (1 x P).

    Source: `cos` and `mse` of DC's public code, which join all tensors.
    """
    yield vector_P.view(1, -1)
