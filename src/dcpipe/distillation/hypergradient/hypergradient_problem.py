"""The problem that every kind of hypergradient solves: the derivative of where a student's inner loop ends.

Legend: N images in the synthetic set, B images in a batch, C channels, H W pixels, K classes,
P parameters of the student, T inner steps. Labels are hard (int64, (N,)) or logits (floating, (N, K)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dcpipe.data.augment import DSADraw
from dcpipe.distillation.matching_results import StudentResult
from dcpipe.errors import UserError

Apply = Callable[[Tensor, Tensor], Tensor]
"""(theta_P, x_BCHW) -> logits_BK, without side effects; no image of a batch may influence another."""

AugmentDraw = DSADraw
"""What one augmentation of one batch needs to be repeated exactly."""

Augment = Callable[[Tensor, AugmentDraw], Tensor]
"""(x_BCHW, draw) -> x_BCHW, without side effects, differentiable in the images."""

Objective = Callable[[Tensor], Tensor]
"""theta_P at the end of the inner loop -> matching loss (0-d)."""


class PullbackResult(NamedTuple):
    """One inner gradient g(theta, x, y) contracted with a vector v of P numbers, and its derivatives."""

    slope: Tensor  # 0-d: <g, v> itself
    theta: Tensor | None  # (P,): d<g, v>/d theta, the inner Hessian times v; None where it was not asked for
    images: Tensor  # (B, C, H, W): d<g, v>/dx
    labels: Tensor | None  # (B, K): d<g, v>/d label logits; None for hard labels


class MicroBatchGradient(Protocol):
    """The gradient of a micro-batch's mean cross-entropy, with what its pullback needs."""

    @property
    def gradient(self) -> Tensor:
        """The gradient, detached."""

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> PullbackResult:
        """See `PullbackResult`. Asked once: it may use up what it needs."""


class StepDerivatives(Protocol):
    """The derivatives of a student's loss, for one micro-batch at a time.

    Each takes parameters (P), images as the network sees them (B, C, H, W), and labels (B,) or logits (B, K).
    """

    @property
    def has_bit_identical_gradient(self) -> bool:
        """Whether `gradient` gives the bits that `part` does."""

    def __hash__(self) -> int:
        """Of what the memory of a part is remembered by."""

    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        """The gradient (P) of the mean cross-entropy, detached, in as little memory as it takes."""

    def gradient_with_pullback(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> MicroBatchGradient:
        """The gradient with what its pullback needs; the bits depend on the inputs alone."""

    def graph_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, /) -> int:
        """About what the graph of such a part takes that its pullback walks, kept or made for it; as `kept_bytes`."""

    def kept_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, /) -> int:
        """The bytes that a part of these shapes holds beside the parameters; the tensors are on the meta device."""


@dataclass(frozen=True, slots=True)
class InnerTraining:
    """How a student takes a step; `inner_loop.make_inner_training` builds one.

    `micro_batch` bounds how many images go through the network at once (None: the whole batch).
    """

    apply: Apply
    derivatives: StepDerivatives
    augment: Augment | None = None
    micro_batch: int | None = None


@dataclass(frozen=True, slots=True)
class InnerDraws:
    """Everything random in one run of the inner loop, so that it can be walked again.

    `batches`: T index tensors into the rows of the synthetic set (int64, best on its device);
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
class HypergradientProblem:
    """An inner loop and an objective of its end, to be differentiated with respect to what the student learns from.

    Shapes: images_NCHW; labels (N,) int64 or (N, K) logits; step_size 0-d; start_P. `objective` is asked once, at the
    last parameters. `labels_require_grad` asks for the derivative of label logits as well.
    Raises: UserError where the derivative of hard labels is asked for: classes have none.
    """

    inner: InnerTraining
    images_NCHW: Tensor
    labels: Tensor
    step_size: Tensor
    start_P: Tensor
    objective: Objective
    draws: InnerDraws
    labels_require_grad: bool = False

    def __post_init__(self) -> None:
        if self.labels_require_grad and not self.labels.is_floating_point():
            raise UserError("hard labels cannot be learned", where="labels", remedy="choose soft labels")


Hypergradient = Callable[[HypergradientProblem], StudentResult]
"""A kind of hypergradient: a problem -> the loss, its derivatives, and what the student left behind."""


def objective_and_gradient(objective: Objective, theta_P: Tensor) -> tuple[Tensor, Tensor]:
    """The objective (0-d) and its gradient (P) at given parameters, both detached."""
    with torch.enable_grad():
        leaf_P = theta_P.detach().requires_grad_()
        loss = objective(leaf_P)
        (gradient_P,) = torch.autograd.grad(loss, leaf_P)
    return loss.detach(), gradient_P
