"""One training step on a batch: augmented images, and the direction that plain or sharpness-aware SGD descends."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.augment import Family
from dcpipe.experts.sharpness import gsam_direction
from dcpipe.models.flat import FlatModel
from dcpipe.params.experts import Gsam, NoSharpness


def loss_and_gradient(model: FlatModel, theta_P: Tensor, x_NCHW: Tensor, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of a batch and its gradient with respect to the parameters, both detached."""
    leaf = theta_P.detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(leaf, x_NCHW), y_N)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


@dataclass(frozen=True, slots=True)
class Step:
    """How a network is trained: its augmentation and its sharpness-aware rule, if any."""

    model: FlatModel
    strategy: tuple[Family, ...]
    sharpness: NoSharpness | Gsam

    def __call__(
        self, theta_P: Tensor, images_BCHW: Tensor, labels_B: Tensor, draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The batch's loss (0-d), and the direction (P); both passes of GSAM see the same augmented images."""
        if self.strategy:
            batch, _, height, width = images_BCHW.shape
            drawn = augment.draw(self.strategy, batch=batch, height=height, width=width, generator=draws, siamese=False)
            images_BCHW = augment.apply(images_BCHW, drawn)
        if isinstance(self.sharpness, NoSharpness):
            return loss_and_gradient(self.model, theta_P, images_BCHW, labels_B)
        losses: list[Tensor] = []

        def gradient(at_P: Tensor) -> Tensor:
            loss, found = loss_and_gradient(self.model, at_P, images_BCHW, labels_B)
            losses.append(loss)
            return found

        rule = self.sharpness
        found = gsam_direction(gradient, theta_P, radius=rule.radius, alpha=rule.alpha, adaptive=rule.adaptive)
        return losses[0], found.d_P
