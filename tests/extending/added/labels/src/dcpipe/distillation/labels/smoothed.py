"""Smoothed labels: a soft label that is made of the class and never learned.

Legend: N images, C channels, H W pixels, K classes.
"""

from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.synthetic_set import SyntheticSet


class Smoothed:
    """See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def __init__(self, classes: int, smoothing: float) -> None:
        self._classes, self._smoothing = classes, smoothing

    def initial(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """Logits (N, K) whose softmax is 1 - smoothing for the class, and smoothing / K for every one."""
        one_hot_NK = functional.one_hot(classes_N, self._classes).to(images_NCHW.dtype)
        return ((1 - self._smoothing) * one_hot_NK + self._smoothing / self._classes).log()

    def with_labels(self, synthetic: SyntheticSet, episode: Episode) -> SyntheticSet:  # noqa: ARG002 (of every rule)
        """The set itself."""
        return synthetic
