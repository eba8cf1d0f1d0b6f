"""Learned soft labels: logits that move by the matching loss's derivative.

Source: DATM (arXiv:2310.05773), section 4.2 and its public code.

Legend: N images, C channels, H W pixels, K classes.
"""

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.labels.label_rules import InitialLogits
from dcpipe.distillation.synthetic_set import SyntheticSet


class SoftLabelRule:
    """See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def __init__(self, initial: InitialLogits) -> None:
        self._initial = initial

    def initial(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The first logits (N, K)."""
        return self._initial(images_NCHW, classes_N)

    def with_labels(self, synthetic: SyntheticSet, _episode: Episode) -> SyntheticSet:
        """The set itself: its logits are part of it."""
        return synthetic
