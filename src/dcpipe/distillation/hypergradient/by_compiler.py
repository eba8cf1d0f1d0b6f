"""Gradients and pullbacks of any network, each as one compiled function; nothing of a gradient is kept.

Legend: B images in a batch, C channels, H W pixels, K classes, P parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.problem import Apply, PartGradient, Pulled
from dcpipe.distillation.student import cross_entropy

StepPullback = Callable[[Tensor, Tensor, Tensor, Tensor], Pulled]
"""(theta_P, x_BCHW, labels, v_P) -> Pulled."""


@dataclass(frozen=True, slots=True)
class RepeatedPart:
    """A gradient that is computed again with its pullback."""

    way: "ByCompiler"
    theta_P: Tensor
    x_BCHW: Tensor
    labels: Tensor

    @property
    def gradient(self) -> Tensor:
        """The gradient."""
        return self.way.gradient(self.theta_P, self.x_BCHW, self.labels)

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> Pulled:
        """See `PartGradient`."""
        pullback = self.way.whole if through_parameters else self.way.of_data
        return pullback(self.theta_P, self.x_BCHW, self.labels, v_P)


class ByCompiler:
    """See `StepDerivatives`.

    By torch.func, because the compiler traces through it and not through torch.autograd.grad. One graph with static
    shapes, or an error: code that quietly fell back to eager would give other bits.
    """

    same_bits = True

    def __init__(self, apply: Apply) -> None:
        torch.use_deterministic_algorithms(True)  # tells the compiler too

        def loss(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(apply(theta_P, x_BCHW), labels)

        gradient = torch.func.grad(loss)

        def pullback(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> Pulled:
            soft = (labels,) if labels.is_floating_point() else ()
            gradient_P, pull, *_ = torch.func.vjp(
                lambda theta, x, *z: gradient(theta, x, *(z or (labels,))), theta_P, x_BCHW, *soft
            )
            by_theta, by_images, *by_labels = pull(v_P)
            return Pulled(gradient_P @ v_P, by_theta, by_images, by_labels[0] if by_labels else None)

        def of_data(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> Pulled:
            soft = (labels,) if labels.is_floating_point() else ()
            gradient_P, pull, *_ = torch.func.vjp(lambda x, *z: gradient(theta_P, x, *(z or (labels,))), x_BCHW, *soft)
            by_images, *by_labels = pull(v_P)
            return Pulled(gradient_P @ v_P, None, by_images, by_labels[0] if by_labels else None)

        compiled = partial(torch.compile, fullgraph=True, dynamic=False)
        self._gradient: Callable[[Tensor, Tensor, Tensor], Tensor] = compiled(gradient)
        self.whole: StepPullback = compiled(pullback)
        self.of_data: StepPullback = compiled(of_data)

    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        """The gradient."""
        return self._gradient(theta_P, x_BCHW, labels)

    def part(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> PartGradient:
        """What the gradient is computed from."""
        return RepeatedPart(self, theta_P, x_BCHW, labels)

    def kept_bytes(self, _theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """The images and labels, beside what is there anyway."""
        return x_BCHW.nbytes + labels.nbytes
