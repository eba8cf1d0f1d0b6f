"""What every kind of hypergradient takes and answers.

A kind is one module with one function of the type `Hypergradient`; which modules a job reaches, and so
its code identity, is decided by the kind its preset names.

Legend: N images in the synthetic set, B images in a batch, C channels, H W pixels, K classes,
P parameters of the student, T inner steps. Labels are hard (int64, (N,)) or logits (floating, (N, K)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Apply = Callable[[Tensor, Tensor], Tensor]
"""(theta_P, x_BCHW) -> logits_BK, without side effects; no image of a batch may influence another."""

AugmentDraw = object
"""What one augmentation of one batch needs to be repeated exactly; opaque here."""

Augment = Callable[[Tensor, AugmentDraw], Tensor]
"""(x_BCHW, draw) -> x_BCHW, without side effects, differentiable in the images."""

Objective = Callable[[Tensor], Tensor]
"""theta_P at the end of the inner loop -> matching loss (0-d)."""


class Pulled(NamedTuple):
    """One inner gradient g(theta, x, y) contracted with a vector v of P numbers, and its derivatives."""

    slope: Tensor  # 0-d: <g, v> itself
    theta: Tensor | None  # (P,): d<g, v>/d theta, the inner Hessian times v; None where it was not asked for
    images: Tensor  # (B, C, H, W): d<g, v>/dx
    labels: Tensor | None  # (B, K): d<g, v>/d label logits; None for hard labels


StepGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(theta_P, x_BCHW, labels of the batch) -> g_P, the gradient of the batch's mean cross-entropy."""

StepPullback = Callable[[Tensor, Tensor, Tensor, Tensor], Pulled]
"""(theta_P, x_BCHW, labels of the batch, v_P) -> Pulled."""


@dataclass(frozen=True, slots=True)
class Inner:
    """How a student takes a step; `student.make_inner` builds one.

    `micro_batch` bounds how many images go through the network at once (None: the whole batch).
    """

    apply: Apply
    gradient: StepGradient
    pullback: StepPullback
    data_pullback: StepPullback  # without the derivative of the parameters, and cheaper
    augment: Augment | None = None
    micro_batch: int | None = None


@dataclass(frozen=True, slots=True)
class InnerDraws:
    """Everything random in one run of the inner loop, so that it can be walked again.

    `batches`: T index tensors into the rows of the synthetic set (int64, on the CPU);
    `augmentations`: T draws, None where a step leaves its images as they are.
    """

    batches: tuple[Tensor, ...]
    augmentations: tuple[AugmentDraw | None, ...]

    def __post_init__(self) -> None:
        if len(self.batches) != len(self.augmentations):
            raise ValueError(f"{len(self.batches)} batches but {len(self.augmentations)} augmentation draws")

    @property
    def steps(self) -> int:
        """T, the number of inner steps."""
        return len(self.batches)

    def before(self, step: int) -> "InnerDraws":
        """The draws of the first so many steps."""
        return InnerDraws(self.batches[:step], self.augmentations[:step])

    def after(self, step: int) -> "InnerDraws":
        """The draws of the steps that are left after so many."""
        return InnerDraws(self.batches[step:], self.augmentations[step:])


@dataclass(frozen=True, slots=True)
class Start:
    """A point inside an earlier run of the inner loop, to go on from: the parameters (P) after `step` steps."""

    step: int
    theta_P: Tensor


@dataclass(frozen=True, slots=True)
class Gradients:
    """Derivatives of the matching loss with respect to what is learned.

    Shapes: images (N, C, H, W); step_size 0-d; labels (N, K), or None where they were not asked for.
    """

    images: Tensor
    step_size: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run of the inner loop leaves behind for an outer optimiser, detached from every graph.

    `thetas`: the parameter vectors (P) after steps `first`, `first` + 1, ... T, so all T+1 of them, the start
    first, unless the kind keeps fewer; `gradient_sum` (P): the sum of the T inner gradients; `final_gradient`
    (P): derivative of the loss with respect to the last parameters. The first-order derivative of the step
    size is minus the product of the last two.
    """

    loss: Tensor
    thetas: tuple[Tensor, ...]
    gradient_sum: Tensor
    final_gradient: Tensor
    first: int = 0

    @property
    def final(self) -> Tensor:
        """(P,): the student's parameters after its last step."""
        return self.thetas[-1]

    @property
    def steps(self) -> int:
        """T, the number of inner steps that the student took (0 where a loss has no student)."""
        return self.first + max(0, len(self.thetas) - 1)

    def at(self, step: int) -> Start:
        """Where the student was after so many steps. Errors: IndexError where its parameters were not kept."""
        if not self.first <= step <= self.steps:
            raise IndexError(f"kept from step {self.first} to {self.steps}, not {step}")
        return Start(step, self.thetas[step - self.first])


class Hypergradient(Protocol):
    """The derivative of an objective of the student's last parameters with respect to what it learned from.

    Shapes: images_NCHW; labels (N,) int64 or (N, K) logits; step_size 0-d; start_P. `objective` is asked
    once, at the last parameters. `labels_require_grad` asks for the derivative of label logits as well.
    """

    def __call__(
        self,
        inner: Inner,
        *,
        images_NCHW: Tensor,
        labels: Tensor,
        step_size: Tensor,
        start_P: Tensor,
        objective: Objective,
        draws: InnerDraws,
        labels_require_grad: bool = False,
    ) -> tuple[Gradients, Trace]: ...


def objective_and_gradient(objective: Objective, theta_P: Tensor) -> tuple[Tensor, Tensor]:
    """The objective (0-d) and its gradient (P) at given parameters, both detached."""
    with torch.enable_grad():
        leaf_P = theta_P.detach().requires_grad_()
        loss = objective(leaf_P)
        (gradient_P,) = torch.autograd.grad(loss, leaf_P)
    return loss.detach(), gradient_P
