"""Hard labels: the classes that the images were chosen for."""

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.synthetic_set import SyntheticSet


class Hard:
    """See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def initial(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:  # noqa: ARG002 (of every rule)
        """The classes."""
        return classes_N

    def of(self, synthetic: SyntheticSet, episode: Episode) -> SyntheticSet:  # noqa: ARG002 (of every rule)
        """The set itself."""
        return synthetic
