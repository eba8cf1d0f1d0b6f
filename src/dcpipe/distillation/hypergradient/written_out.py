"""Gradients and pullbacks of a network whose derivatives are written out.

Legend: B images in a batch, C channels, H W pixels, P parameters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.problem import PartGradient, Pulled
from dcpipe.models.convnet_derivatives import ConvNetDerivatives, GradientState


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A gradient and its state; labels are logits where `soft`."""

    derivatives: ConvNetDerivatives
    theta_P: Tensor
    state: GradientState
    gradient: Tensor
    soft: bool

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> Pulled:
        """See `PartGradient`."""
        theta_P, images_BCHW, labels_BK = self.derivatives.pullback(
            self.theta_P, self.state, v_P, through_parameters=through_parameters
        )
        return Pulled(self.gradient @ v_P, theta_P, images_BCHW, labels_BK if self.soft else None)


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """See `StepDerivatives`."""

    derivatives: ConvNetDerivatives
    same_bits: ClassVar[bool] = True

    @torch.no_grad()
    def gradient(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        """The gradient alone."""
        return self.derivatives.gradient(theta_P, x_BCHW, labels)[0]

    @torch.no_grad()
    def part(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> PartGradient:
        """The gradient and its state."""
        gradient_P, state = self.derivatives.gradient(theta_P, x_BCHW, labels)
        return WrittenPart(self.derivatives, theta_P, state, gradient_P, labels.is_floating_point())

    def kept_bytes(self, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> int:
        """What the state holds, and the gradient."""
        gradient_P, state = self.derivatives.gradient(theta_P, x_BCHW, labels)
        held = {id(one.untyped_storage()): one.untyped_storage() for one in [gradient_P, *_tensors(state)]}
        return sum(storage.nbytes() for storage in held.values())


def _tensors(state: GradientState) -> Iterator[Tensor]:
    for block in (*state.forward, *state.backward):
        yield from block
    yield from (state.features_BF, state.found_BK, state.wanted_BK)
