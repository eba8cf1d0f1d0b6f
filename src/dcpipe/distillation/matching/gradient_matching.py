"""Gradient matching: a network should get the same gradients from the synthetic set as from real images.

Source: DC (arXiv:2006.05929), DSA (arXiv:2102.08259), and arXiv:2208.00311 for levels, distances and episodes.

Legend: N images, C channels, H W pixels, P parameters of the network.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcpipe.distillation.class_batches import ClassSample, synthetic_rows
from dcpipe.distillation.hypergradient.hypergradient_problem import Apply
from dcpipe.distillation.matching.network_matching import NetworkEpisode, NetworkMatching, NetworkMatchingComponents
from dcpipe.distillation.matching_results import Gradients, MatchingResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.student import cross_entropy, inner_gradient
from dcpipe.distillation.synthetic_set import SyntheticSet

if TYPE_CHECKING:
    from dcpipe.distillation.matching.gradient_config import GradientMatchingConfig


class GradientMatching(NetworkMatching):
    """See `dcpipe.distillation.episodes.Matching`."""

    def __init__(self, config: "GradientMatchingConfig", setting: Setting) -> None:
        self._parts = NetworkMatchingComponents.from_setting(
            setting, setting.model(), config.augmentation, config.training
        )
        self._distance = config.distance.build()
        self._levels = config.levels.build(setting.train.classes)
        super().__init__(
            setting,
            self._parts.trainer,
            self._parts.batches,
            real_batch=config.real_batch,
            is_last=config.updates.build(),
            loss=self._evaluate,
        )

    def _evaluate(self, episode: NetworkEpisode, synthetic: SyntheticSet) -> MatchingResult:
        """The derivative of the loss of equation 6 (of equation 4 for intra-class levels), class by class.

        Only one class's graph exists at a time. The distance D of all classes together reaches class c through
        its share s_c of the mean gradient m alone, so that its derivative is that of s_c <dD/dm, g_c>.
        """
        intra, inter = self._levels(episode.iteration, episode.update)
        sides = [self._real_gradient(draw, episode) for draw in episode.classes]
        loss = synthetic.images_NCHW.new_zeros(())
        shares, pull_P = [0.0] * len(sides), None
        if inter:
            loss, pull_P, shares = self._inter_class_distance(synthetic, episode, sides)
            loss = inter * loss
        by_images = torch.zeros_like(synthetic.images_NCHW)
        for draw, real_P, share in zip(episode.classes, sides, shares, strict=True):
            rows = synthetic_rows(synthetic, draw.label)
            leaf = synthetic.images_NCHW[rows].detach().requires_grad_()
            found_P = self._gradient(leaf, synthetic.labels[rows], draw, episode)
            value = found_P.new_zeros(())
            if intra:
                distance = self._distance(found_P, real_P, self._parts.model.layout)
                loss, value = loss + intra * distance.detach(), intra * distance
            if pull_P is not None:
                value = value + inter * share * (found_P @ pull_P)
            (by_images[rows],) = torch.autograd.grad(value, leaf)
        return MatchingResult(loss, Gradients(by_images))

    def _inter_class_distance(
        self, synthetic: SyntheticSet, episode: NetworkEpisode, sides: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[float]]:
        """The distance of the gradients of all classes' batches, its derivative (P), and each class's share.

        Source: equation 5: gradients of classes averaged by how many images they are of.
        """
        rows = [synthetic_rows(synthetic, draw.label) for draw in episode.classes]
        shares = _shares([len(own) for own in rows])
        found_P, apply = torch.zeros_like(sides[0]), self._network_function(episode)
        for draw, own, share in zip(episode.classes, rows, shares, strict=True):
            images, labels = draw.augmented(synthetic.images_NCHW[own]), synthetic.labels[own]
            found_P += share * inner_gradient(apply, episode.network.theta_P, images, labels)
        real_shares = _shares([len(draw.real_rows) for draw in episode.classes])
        real_P = sum(
            (share * side_P for share, side_P in zip(real_shares, sides, strict=True)), torch.zeros_like(found_P)
        )
        found_P = found_P.requires_grad_()
        distance = self._distance(found_P, real_P, self._parts.model.layout)
        (pull_P,) = torch.autograd.grad(distance, found_P)
        return distance.detach(), pull_P, shares

    def _network_function(self, episode: NetworkEpisode) -> Apply:
        """The network of an episode, batch norms with the statistics they have now."""
        return lambda theta_P, x_NCHW: self._parts.trainer.logits(episode.network, theta_P, x_NCHW)

    def _real_gradient(self, draw: ClassSample, episode: NetworkEpisode) -> Tensor:
        images = self._parts.batches.real_images(draw)
        labels = torch.full((len(images),), draw.label, device=images.device)
        return inner_gradient(self._network_function(episode), episode.network.theta_P, images, labels)

    def _gradient(self, leaf_NCHW: Tensor, labels_N: Tensor, draw: ClassSample, episode: NetworkEpisode) -> Tensor:
        """The gradient (P) of a class of the set, differentiable in its images."""
        theta_P = episode.network.theta_P.detach().requires_grad_()
        loss = cross_entropy(self._network_function(episode)(theta_P, draw.augmented(leaf_NCHW)), labels_N)
        (found_P,) = torch.autograd.grad(loss, theta_P, create_graph=True)
        return found_P


def _shares(counts: list[int]) -> list[float]:
    return [count / sum(counts) for count in counts]
