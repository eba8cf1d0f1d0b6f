"""What the graph of an inner step takes, from shapes alone, so that it is known before one is run.

Legend: N images, B images in a batch, C channels, H W pixels, K classes, P parameters.
"""

from functools import lru_cache

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerTraining, StepDerivatives

ALLOWANCE = 1.5  # what a process grows by for a step is 1.1 to 1.4 times what it holds: an allocator leaves gaps


def step_bytes(problem: HypergradientProblem) -> int:
    """The bytes that a kept step of the largest batch takes at most: a matter of shapes alone.

    The step is traced on the meta device, which computes nothing; what it holds is added up, with an allowance.
    """
    images, labels, inner = problem.images_NCHW, problem.labels, problem.inner
    largest = max(len(rows) for rows in problem.draws.batches)
    whole, rest = divmod(largest, inner.micro_batch or largest)
    soft = labels.shape[1] if labels.is_floating_point() else None

    def micro_batch(count: int) -> int:
        shape = (count, *images.shape[1:])
        return _kept_bytes(inner.derivatives, problem.start_P.numel(), shape, soft, images.dtype) if count else 0

    pixels = 2 * largest * images[0].numel() * images.itemsize  # before and after the augmentation
    return int(ALLOWANCE * (whole * micro_batch(inner.micro_batch or largest) + micro_batch(rest) + pixels))


def images_within(budget_bytes: int, inner: InnerTraining, parameters: int, shape: tuple[int, ...]) -> int:
    """How many float32 images of a shape (C H W) have a graph that fits in a budget; at least one.

    It is the graph by which a gradient is pulled back, whether or not it is kept.
    """
    one, two = (_graph_bytes(inner.derivatives, parameters, (n, *shape), None, torch.float32) for n in (1, 2))
    pixels = 2 * torch.Size(shape).numel() * torch.float32.itemsize
    each, fixed = two - one + pixels, 2 * one - two
    return max(1, int((budget_bytes / ALLOWANCE - fixed) // each))


@lru_cache(maxsize=64)
def _kept_bytes(
    derivatives: StepDerivatives, parameters: int, shape: tuple[int, ...], classes: int | None, dtype: torch.dtype
) -> int:
    return derivatives.kept_bytes(*_without_numbers(parameters, shape, classes, dtype))


@lru_cache(maxsize=64)
def _graph_bytes(
    derivatives: StepDerivatives, parameters: int, shape: tuple[int, ...], classes: int | None, dtype: torch.dtype
) -> int:
    return derivatives.graph_bytes(*_without_numbers(parameters, shape, classes, dtype))


def _without_numbers(
    parameters: int, shape: tuple[int, ...], classes: int | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters, images and labels that have shapes and nothing else."""
    with torch.device("meta"):
        theta_P, x_BCHW = torch.empty(parameters, dtype=dtype), torch.empty(shape, dtype=dtype)
        hard = torch.empty(shape[0], dtype=torch.int64)
        labels = hard if classes is None else torch.empty((shape[0], classes), dtype=dtype)
    return theta_P, x_BCHW, labels
