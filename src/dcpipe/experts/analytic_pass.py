"""One pass through a network whose gradient is written out by hand: the same numbers as autograd's to rounding."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.experts.step import Passed, PassFunction, forward_backward
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.models.flat import FlatModel
from dcpipe.params.compute import Precision


def analytic_pass(
    network: str, *, channels: int, image_size: int, classes: int, precision: Precision = "float32"
) -> PassFunction:
    """The pass of a network by its analytic gradient, where it has one; else by autograd."""
    shape = {"channels": channels, "image_size": image_size, "classes": classes}
    derivatives = ConvNetDerivatives.from_name(network, **shape, precision=precision)
    return forward_backward if derivatives is None else AnalyticPass(derivatives)


@dataclass(frozen=True, slots=True)
class AnalyticPass:
    """See `PassFunction`. Labels are classes (N) or probabilities (N x K)."""

    derivatives: ConvNetDerivatives

    @torch.no_grad()
    def __call__(self, _model: FlatModel, theta_P: Tensor, x_NCHW: Tensor, labels: Tensor) -> Passed:
        """Nothing is seen by batch norms: such networks have none.

        The loss is exact up to 87 (float32), where the softmax of an image's label has no smaller number.
        """
        logits_or_classes = labels.log() if labels.is_floating_point() else labels
        gradient_P, state = self.derivatives.gradient(theta_P, x_NCHW, logits_or_classes)
        smallest = torch.finfo(state.predicted_BK.dtype).tiny
        log_BK = state.predicted_BK.clamp_min(smallest).log()
        return -(state.target_BK * log_BK).sum(1).mean(), gradient_P, {}
