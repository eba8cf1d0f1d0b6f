"""One step of training: a batch, augmented, and the direction that plain or sharpness-aware SGD descends."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.augment import AugmentationFamily
from dcpipe.experts.sharpness import DirectionRule
from dcpipe.models.flat import FlatModel, Statistics

Passed = tuple[Tensor, Tensor, Statistics]
"""A batch's mean loss (0-d), its gradient (P), and what its batch norms saw; all detached."""
PassFunction = Callable[[FlatModel, Tensor, Tensor, Tensor], Passed]
"""A network, its parameters (P), images and labels -> one pass."""


def batch_loss(model: FlatModel, theta_P: Tensor, x_NCHW: Tensor, y_N: Tensor) -> tuple[Tensor, Statistics]:
    """Mean cross-entropy of a batch in training mode, and what its batch norms saw."""
    logits_NK, seen = model.forward_with_statistics(theta_P, x_NCHW)
    return torch.nn.functional.cross_entropy(logits_NK, y_N), seen


def forward_backward(model: FlatModel, theta_P: Tensor, x_NCHW: Tensor, y_N: Tensor) -> Passed:
    """Forwards and backwards through one network."""
    leaf = theta_P.detach().requires_grad_()
    loss, seen = batch_loss(model, leaf, x_NCHW, y_N)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient, seen


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """How a network is trained: its augmentation and its sharpness-aware rule, if any."""

    model: FlatModel
    strategy: tuple[AugmentationFamily, ...]
    rule: DirectionRule
    run_pass: PassFunction = forward_backward

    def __call__(self, theta_P: Tensor, images_BCHW: Tensor, labels_B: Tensor, draws: torch.Generator) -> Passed:
        """The batch's loss, the direction (P), and what the batch norms saw."""
        return self.direction(theta_P, self.augmented(images_BCHW, draws), labels_B)

    def augmented(self, images_BCHW: Tensor, draws: torch.Generator) -> Tensor:
        """The batch as the network sees it; the very same tensor without augmentation."""
        if not self.strategy:
            return images_BCHW
        batch, _, height, width = images_BCHW.shape
        drawn = augment.draw(self.strategy, batch=batch, height=height, width=width, generator=draws, siamese=False)
        return augment.apply(images_BCHW, drawn)

    def direction(self, theta_P: Tensor, images_BCHW: Tensor, labels_B: Tensor) -> Passed:
        """As a call, for images that are augmented already; both passes of GSAM see the same ones.

        The loss and the statistics are the first pass's: in the public GSAM code, too, the second one, at the
        perturbed parameters, leaves the running statistics alone.
        """
        passes: list[Passed] = []

        def gradient(at_P: Tensor) -> Tensor:
            passes.append(self.run_pass(self.model, at_P, images_BCHW, labels_B))
            return passes[-1][1]

        direction_P = self.rule(gradient, theta_P).d_P
        loss, _, seen = passes[0]
        return loss, direction_P, seen
