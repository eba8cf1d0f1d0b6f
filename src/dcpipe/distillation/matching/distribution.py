"""Distribution matching: untrained networks should see the same mean features of each class in both sets.

Source: DM (arXiv:2110.04181).

Legend: N images, C channels, H W pixels, F features.
"""

import torch
from torch import Tensor

from dcpipe.distillation.class_batches import synthetic_rows
from dcpipe.distillation.hypergradient.common import Gradients, Trace
from dcpipe.distillation.matching.common import Episode, Setting, without_inner_loop
from dcpipe.distillation.matching.network import NetworkEpisode, NetworkMatching
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.build import build
from dcpipe.params.episode import FixedUpdates, NoTraining


class DistributionMatching(NetworkMatching):
    """See `dcpipe.distillation.matching.common.Matching`."""

    def __init__(self, setting: Setting) -> None:
        train, network = setting.train, setting.task.section("network", str)
        model = build(network, channels=train.channels, image_size=train.size, classes=train.classes)
        once, never = FixedUpdates(kind="fixed", count=1), NoTraining(kind="none")
        super().__init__(setting, model, updates=once, training=never)

    def evaluate(self, synthetic: SyntheticSet, episode: Episode) -> tuple[Gradients, Trace]:
        """The derivative of the sum over classes of |mean real features - mean synthetic features|^2.

        Class by class, so that one class's graph exists at a time. Batch norms use the batch at hand; it is then that
        of all classes together, as in the public code.
        """
        assert isinstance(episode, NetworkEpisode)  # noqa: S101 (drawn above)
        together = self._model.has_running_statistics
        groups = [episode.classes] if together else [(draw,) for draw in episode.classes]
        loss, by_images = synthetic.images_NCHW.new_zeros(()), torch.zeros_like(synthetic.images_NCHW)
        for group in groups:
            rows = [synthetic_rows(synthetic, draw.label) for draw in group]
            leaves = [synthetic.images_NCHW[own].detach().requires_grad_() for own in rows]
            with torch.no_grad():
                real = self._means(episode, [self._batches.real(draw) for draw in group])
            seen = [draw.augmented(leaf) for draw, leaf in zip(group, leaves, strict=True)]
            found = self._means(episode, seen)
            gap = sum(((a - b).square().sum() for a, b in zip(real, found, strict=True)), loss.new_zeros(()))
            for own, gradient in zip(rows, torch.autograd.grad(gap, leaves), strict=True):
                by_images[own] = gradient
            loss = loss + gap.detach()
        return without_inner_loop(by_images, loss)

    def _means(self, episode: NetworkEpisode, parts: list[Tensor]) -> list[Tensor]:
        """The mean features (F) of each part, all of them one batch."""
        features_NF = self._model.features(episode.network.theta_P, torch.cat(parts))
        return [of_part.mean(dim=0) for of_part in torch.split(features_NF, [len(part) for part in parts])]


def make(setting: Setting) -> DistributionMatching:
    """The matching of a job."""
    return DistributionMatching(setting)
