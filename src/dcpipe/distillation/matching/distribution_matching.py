"""Distribution matching: untrained networks should see the same mean features of each class in both sets.

Source: DM (arXiv:2110.04181).

Legend: N images, C channels, H W pixels, F features.
"""

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcpipe.distillation.class_batches import synthetic_rows
from dcpipe.distillation.matching.network_matching import NetworkEpisode, NetworkMatching, NetworkMatchingComponents
from dcpipe.distillation.matching_results import Gradients, MatchingResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.updates.update_counts import after_fixed_count

if TYPE_CHECKING:
    from dcpipe.distillation.matching.distribution_config import DistributionMatchingConfig


class DistributionMatching(NetworkMatching):
    """See `dcpipe.distillation.episodes.Matching`."""

    def __init__(self, config: "DistributionMatchingConfig", setting: Setting) -> None:
        self._parts = NetworkMatchingComponents.from_setting(setting, setting.model(), config.augmentation, None)
        super().__init__(
            setting,
            self._parts.trainer,
            self._parts.batches,
            real_batch=config.real_batch,
            is_last=partial(after_fixed_count, 1),
            loss=self._evaluate,
        )

    def _evaluate(self, episode: NetworkEpisode, synthetic: SyntheticSet) -> MatchingResult:
        """The derivative of the sum over classes of |mean real features - mean synthetic features|^2.

        Class by class, so that one class's graph exists at a time. Batch norms use the batch at hand; it is then that
        of all classes together, as in the public code.
        """
        together = self._parts.model.has_running_statistics
        groups = [episode.classes] if together else [(draw,) for draw in episode.classes]
        loss, by_images = synthetic.images_NCHW.new_zeros(()), torch.zeros_like(synthetic.images_NCHW)
        for group in groups:
            rows = [synthetic_rows(synthetic, draw.label) for draw in group]
            leaves = [synthetic.images_NCHW[own].detach().requires_grad_() for own in rows]
            with torch.no_grad():
                real = self._means(episode, [self._parts.batches.real_images(draw) for draw in group])
            seen = [draw.augmented(leaf) for draw, leaf in zip(group, leaves, strict=True)]
            found = self._means(episode, seen)
            gap = sum(((a - b).square().sum() for a, b in zip(real, found, strict=True)), loss.new_zeros(()))
            for own, gradient in zip(rows, torch.autograd.grad(gap, leaves), strict=True):
                by_images[own] = gradient
            loss = loss + gap.detach()
        return MatchingResult(loss, Gradients(by_images))

    def _means(self, episode: NetworkEpisode, parts: list[Tensor]) -> list[Tensor]:
        """The mean features (F) of each part, all of them one batch."""
        features_NF = self._parts.model.features(episode.network.theta_P, torch.cat(parts))
        return [of_part.mean(dim=0) for of_part in torch.split(features_NF, [len(part) for part in parts])]
