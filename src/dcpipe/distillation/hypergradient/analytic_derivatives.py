"""Gradients and pullbacks of a network with analytic derivatives; compiled, each is one function.

Compiled or not, what a gradient leaves for its pullback can be kept.

Legend: B images in a batch, C channels, H W pixels, P parameters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.hypergradient_problem import MicroBatchGradient, PullbackResult
from dcpipe.distillation.hypergradient.whole_graph import compile_whole
from dcpipe.models.convnet_derivative_state import GradientState, Pullback
from dcpipe.models.convnet_derivatives import ConvNetDerivatives


@dataclass(frozen=True, slots=True)
class AnalyticMicroBatch:
    """A gradient and its state; labels are logits where `soft`."""

    network: "AnalyticDerivatives"
    theta_P: Tensor
    state: GradientState
    gradient: Tensor
    soft: bool

    @torch.no_grad()
    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> PullbackResult:
        """See `MicroBatchGradient`."""
        _, pullback = _choose_derivative_functions(self.network.derivatives, compiled=self.network.compiled)
        found = pullback(self.theta_P, self.state, v_P, through_parameters=through_parameters)
        theta_P, images_BCHW, labels_BK = found
        return PullbackResult(self.gradient @ v_P, theta_P, images_BCHW, labels_BK if self.soft else None)


@dataclass(frozen=True, slots=True)
class AnalyticDerivatives:
    """See `StepDerivatives`."""

    derivatives: ConvNetDerivatives
    compiled: bool = False
    has_bit_identical_gradient: ClassVar[bool] = True

    @torch.no_grad()
    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        """The gradient alone."""
        gradient, _ = _choose_derivative_functions(self.derivatives, compiled=self.compiled)
        return gradient(theta_P, x_BCHW, labels)[0]

    @torch.no_grad()
    def gradient_with_pullback(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> MicroBatchGradient:
        """The gradient and its state."""
        gradient, _ = _choose_derivative_functions(self.derivatives, compiled=self.compiled)
        gradient_P, state = gradient(theta_P, x_BCHW, labels)
        return AnalyticMicroBatch(self, theta_P, state, gradient_P, labels.is_floating_point())

    def graph_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """What is kept is all of it."""
        return self.kept_bytes(theta_P, x_BCHW, labels)

    def kept_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """What the state holds, and the gradient."""
        gradient_P, state = self.derivatives.gradient(theta_P, x_BCHW, labels)
        held = {id(one.untyped_storage()): one.untyped_storage() for one in [gradient_P, *_tensors(state)]}
        return sum(storage.nbytes() for storage in held.values())


GradientCallable = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, GradientState]]


class PullbackCallable(Protocol):
    """`ConvNetDerivatives.pullback`."""

    def __call__(self, theta_P: Tensor, state: GradientState, v_P: Tensor, *, through_parameters: bool) -> Pullback: ...


@cache
def _choose_derivative_functions(
    derivatives: ConvNetDerivatives, *, compiled: bool
) -> tuple[GradientCallable, PullbackCallable]:
    if not compiled:
        return derivatives.gradient, derivatives.pullback
    return compile_whole(derivatives.gradient, "gradient"), compile_whole(derivatives.pullback, "pullback")


def _tensors(state: GradientState) -> Iterator[Tensor]:
    for block in (*state.forward, *state.backward):
        yield from block
    yield from (state.features_BF, state.predicted_BK, state.target_BK)
