"""Gradients and pullbacks of any network, each as one compiled function; nothing of a gradient is kept.

Legend: B images in a batch, C channels, H W pixels, K classes, P parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.autograd_derivatives import AutogradDerivatives
from dcpipe.distillation.hypergradient.hypergradient_problem import Apply, MicroBatchGradient, PullbackResult
from dcpipe.distillation.hypergradient.whole_graph import compile_whole
from dcpipe.distillation.student import cross_entropy

StepPullback = Callable[[Tensor, Tensor, Tensor, Tensor], PullbackResult]
"""(theta_P, x_BCHW, labels, v_P) -> PullbackResult."""


@dataclass(frozen=True, slots=True)
class RecomputedMicroBatch:
    """A gradient that is computed again with its pullback."""

    network: "CompiledDerivatives"
    theta_P: Tensor
    x_BCHW: Tensor
    labels: Tensor

    @property
    def gradient(self) -> Tensor:
        """The gradient."""
        return self.network.gradient(self.theta_P, self.x_BCHW, self.labels)

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> PullbackResult:
        """See `MicroBatchGradient`."""
        pullback = self.network.pullback if through_parameters else self.network.data_pullback
        return pullback(self.theta_P, self.x_BCHW, self.labels, v_P)


class CompiledDerivatives:
    """See `StepDerivatives`.

    By torch.func, because the compiler traces through it and not through torch.autograd.grad. One graph with static
    shapes, or an error: code that quietly fell back to eager would give other bits.
    """

    has_bit_identical_gradient = True

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

        def loss(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(apply(theta_P, x_BCHW), labels)

        gradient = torch.func.grad(loss)

        def pullback(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> PullbackResult:
            soft = (labels,) if labels.is_floating_point() else ()
            gradient_P, pull, *_ = torch.func.vjp(
                lambda theta, x, *z: gradient(theta, x, *(z or (labels,))), theta_P, x_BCHW, *soft
            )
            by_theta, by_images, *by_labels = pull(v_P)
            return PullbackResult(gradient_P @ v_P, by_theta, by_images, by_labels[0] if by_labels else None)

        def data_pullback(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> PullbackResult:
            soft = (labels,) if labels.is_floating_point() else ()
            gradient_P, pull, *_ = torch.func.vjp(lambda x, *z: gradient(theta_P, x, *(z or (labels,))), x_BCHW, *soft)
            by_images, *by_labels = pull(v_P)
            return PullbackResult(gradient_P @ v_P, None, by_images, by_labels[0] if by_labels else None)

        self._gradient: Callable[[Tensor, Tensor, Tensor], Tensor] = compile_whole(gradient, "gradient")
        self.pullback: StepPullback = compile_whole(pullback, "pullback")
        self.data_pullback: StepPullback = compile_whole(data_pullback, "pullback of the data")

    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        """The gradient."""
        return self._gradient(theta_P, x_BCHW, labels)

    def gradient_with_pullback(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> MicroBatchGradient:
        """What the gradient is computed from."""
        return RecomputedMicroBatch(self, theta_P, x_BCHW, labels)

    def graph_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """Autograd's: what a compiled function takes is not known before it is compiled."""
        return AutogradDerivatives(self._apply).kept_bytes(theta_P, x_BCHW, labels)

    def kept_bytes(self, _theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """The images and labels, beside what is there anyway."""
        return x_BCHW.nbytes + labels.nbytes
