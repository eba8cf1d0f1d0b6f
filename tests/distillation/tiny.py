"""A small smooth network, real handwritten digits and one matching problem, for the laws of distillation.

Legend: N images, C channels, H W pixels, P parameters, T inner steps.
"""

from dataclasses import dataclass
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.distances.trajectory_distance import trajectory_distance
from dcpipe.distillation.hypergradient.hypergradient_problem import (
    Hypergradient,
    HypergradientProblem,
    InnerDraws,
    InnerTraining,
)
from dcpipe.distillation.matching_results import Gradients, StudentTrace
from dcpipe.distillation.student import draw_batches
from dcpipe.random import Stream

SHAPES = ((4, 1, 3, 3), (4,), (10, 64), (10,))
P = sum(torch.Size(shape).numel() for shape in SHAPES)


def apply(theta_P: Tensor, x_NCHW: Tensor) -> Tensor:
    """A convolution, softplus, average pooling and a linear layer, for 8x8 digits; smooth everywhere."""
    parts = torch.split(theta_P, [torch.Size(shape).numel() for shape in SHAPES])
    kernel, bias, weight, offset = (part.view(shape) for part, shape in zip(parts, SHAPES, strict=True))
    hidden = functional.avg_pool2d(functional.softplus(functional.conv2d(x_NCHW, kernel, bias, padding=1)), 2)
    return functional.linear(hidden.flatten(1), weight, offset)


def contrast_and_shift(x_NCHW: Tensor, draw: object) -> Tensor:
    """A stand-in for the real augmentations: contrast by a factor an image, then one pixel to the side."""
    assert isinstance(draw, Tensor)
    mean = x_NCHW.mean((1, 2, 3), keepdim=True)
    return (draw.view(-1, 1, 1, 1) * (x_NCHW - mean) + mean).roll(1, 3)


def digits(count: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """The first `count` handwritten digits, in [0, 1]."""
    bunch = load_digits()
    x_NCHW = torch.tensor(bunch.images[:count] / 16, dtype=dtype).unsqueeze(1)
    return x_NCHW, torch.tensor(bunch.target[:count], dtype=torch.int64)


def parameters(name: str, dtype: torch.dtype = torch.float64, scale: float = 0.3) -> Tensor:
    """Parameters from a named stream."""
    return scale * torch.randn(P, generator=Stream.root(0, name).generator(), dtype=torch.float64).to(dtype)


@dataclass(frozen=True)
class Task:
    """One matching problem; `keywords` are those of `dcpipe`'s HypergradientProblem, but for the inner loop."""

    images: Tensor
    labels: Tensor
    step_size: Tensor
    start: Tensor
    target: Tensor
    draws: InnerDraws

    @property
    def student(self) -> dict[str, object]:
        """The arguments of a run of the student."""
        return {
            "images_NCHW": self.images,
            "labels": self.labels,
            "step_size": self.step_size,
            "start_P": self.start,
            "draws": self.draws,
        }

    @property
    def keywords(self) -> dict[str, object]:
        """The arguments of a hypergradient."""
        objective = partial(trajectory_distance, start_P=self.start, target_P=self.target)
        return self.student | {"objective": objective}


@dataclass(frozen=True)
class Left:
    """What a student leaves behind, and its loss."""

    loss: Tensor
    trace: StudentTrace

    def __getattr__(self, name: str) -> object:
        return getattr(self.trace, name)


def solve(kind: Hypergradient, inner: InnerTraining, **keywords: object) -> tuple[Gradients, Left]:
    """A kind's answer to a problem."""
    answer = kind(HypergradientProblem(inner, **keywords))
    return answer.gradients, Left(answer.loss, answer.trace)


def problem(
    *,
    batch: int | None = None,
    steps: int = 6,
    count: int = 10,
    augmented: bool = False,
    soft: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Task:
    """`count` digits, `steps` inner steps at step size 0.4, towards a point near the start."""
    images_NCHW, labels = digits(count, dtype)
    random = Stream.root(0, "problem")
    batches = draw_batches(count, batch, steps, random.child("batches").generator())
    factors = random.child("augmentation").generator()
    draws = InnerDraws(
        batches,
        tuple((0.5 + torch.rand(len(rows), generator=factors)).to(dtype) for rows in batches)
        if augmented
        else (None,) * steps,
    )
    if soft:
        noise = torch.randn(count, 10, generator=random.child("labels").generator(), dtype=torch.float64)
        labels = 2 * functional.one_hot(labels, 10).to(dtype) + noise.to(dtype)
    start_P = parameters("start", dtype)
    target_P = start_P + parameters("target", dtype, scale=0.05)
    return Task(images_NCHW, labels, torch.tensor(0.4, dtype=dtype), start_P, target_P, draws)
