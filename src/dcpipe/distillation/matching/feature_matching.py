"""Feature alignment: networks should see the same mean of every layer in both sets, and tell real images apart by it.

A reconstruction of CAFE (arXiv:2203.01531) from its description and the constants of its public code.

Legend: N images, C channels, H W pixels, K classes, F features.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.class_batches import synthetic_rows
from dcpipe.distillation.matching.network_matching import NetworkEpisode, NetworkMatching, NetworkMatchingComponents
from dcpipe.distillation.matching_results import Gradients, MatchingResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.layers import LayeredModel

if TYPE_CHECKING:
    from dcpipe.distillation.matching.features_config import FeatureMatchingConfig


def alignment_loss(
    synthetic_means: Sequence[Tensor], real_means: Sequence[Tensor], layer_weights: Sequence[float]
) -> Tensor:
    """The weighted sum (0-d) over layers of the squared gap between two means, each summed over all of a layer.

    Shapes: for each layer one class's mean over images, the same on both sides. Source: layer-wise feature alignment
    of CAFE.
    """
    gaps = (
        weight * (a - b).square().sum() for a, b, weight in zip(synthetic_means, real_means, layer_weights, strict=True)
    )
    return sum(gaps, synthetic_means[0].new_zeros(()))


def discrimination(real_NF: Tensor, labels_N: Tensor, centres_KF: Tensor) -> Tensor:
    """The cross-entropy (0-d, summed over images) of real images that are classified by synthetic class centres.

    The logit of a class is the inner product of an image's features with the mean features of that class's synthetic
    images. Source: the discrimination loss of CAFE.
    """
    return functional.cross_entropy(real_NF @ centres_KF.T, labels_N, reduction="sum")


class FeatureMatching(NetworkMatching):
    """See `dcpipe.distillation.episodes.Matching`."""

    def __init__(self, config: "FeatureMatchingConfig", setting: Setting) -> None:
        train = setting.train
        self._layered = LayeredModel(
            setting.network, channels=train.channels, image_size=train.size, classes=train.classes
        )
        self._config, self._parts = (
            config,
            NetworkMatchingComponents.from_setting(setting, self._layered, config.augmentation, config.training),
        )
        super().__init__(
            setting,
            self._parts.trainer,
            self._parts.batches,
            real_batch=config.real_batch,
            is_last=config.updates.build(),
            loss=self._evaluate,
        )

    def _evaluate(self, episode: NetworkEpisode, synthetic: SyntheticSet) -> MatchingResult:
        """The derivative of alignment plus weighted discrimination, class by class.

        Only one class's graph exists at a time: discrimination reaches a class's images through its centre alone.
        """
        rows = [synthetic_rows(synthetic, draw.label) for draw in episode.classes]
        real_means, pull_KF, loss = self._real_means_and_discrimination(synthetic, episode, rows)
        by_images = torch.zeros_like(synthetic.images_NCHW)
        for draw, own, real, pull_F in zip(episode.classes, rows, real_means, pull_KF, strict=True):
            leaf = synthetic.images_NCHW[own].detach().requires_grad_()
            synthetic_means = self._means(episode, draw.augmented(leaf))
            gap = alignment_loss(synthetic_means, real, self._config.layer_weights)
            (by_images[own],) = torch.autograd.grad(gap + synthetic_means[-1] @ pull_F, leaf)
            loss = loss + gap.detach()
        return MatchingResult(loss, Gradients(by_images))

    def _real_means_and_discrimination(
        self, synthetic: SyntheticSet, episode: NetworkEpisode, rows: Sequence[Tensor]
    ) -> tuple[list[list[Tensor]], Tensor, Tensor]:
        """Each class's mean of every layer; the derivative of discrimination by the centres (K x F), and its value."""
        means, features = [], []
        with torch.no_grad():
            for draw in episode.classes:
                layers = self._layered.layer_outputs(episode.network.theta_P, self._parts.batches.real_images(draw))
                means.append([layer.mean(dim=0) for layer in layers])
                features.append(layers[-1])
            centres_KF = torch.stack(
                [
                    self._means(episode, draw.augmented(synthetic.images_NCHW[own]))[-1]
                    for draw, own in zip(episode.classes, rows, strict=True)
                ]
            )
        labels = [torch.full((len(x),), place, device=x.device) for place, x in enumerate(features)]
        centres_KF.requires_grad_()
        value = self._config.discrimination_weight * discrimination(torch.cat(features), torch.cat(labels), centres_KF)
        (pull_KF,) = torch.autograd.grad(value, centres_KF)
        return means, pull_KF, value.detach()

    def _means(self, episode: NetworkEpisode, x_NCHW: Tensor) -> list[Tensor]:
        return [layer.mean(dim=0) for layer in self._layered.layer_outputs(episode.network.theta_P, x_NCHW)]
