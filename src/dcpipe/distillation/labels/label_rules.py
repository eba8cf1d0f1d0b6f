"""What every kind of labels gives the outer loop.

Legend: N images, C channels, H W pixels, K classes.
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.synthetic_set import SyntheticSet

InitialLogits = Callable[[Tensor, Tensor], Tensor]
"""(images (N, C, H, W), the classes (N) that they were chosen for) -> logits (N, K)."""


class LabelRule(Protocol):
    """How a set comes to its labels. What learns them is the outer optimiser."""

    def initial(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The first labels of images that were chosen for these classes: classes (N), or logits (N, K)."""
        ...

    def with_labels(self, synthetic: SyntheticSet, episode: Episode) -> SyntheticSet:
        """The set with the labels that this episode's students see."""
        ...
