"""Hard labels: the classes that the images were chosen for."""

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.synthetic_set import SyntheticSet


class HardLabelRule:
    """See `dcpipe.distillation.labels.label_rules.LabelRule`."""

    def initial(self, _images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """The classes."""
        return classes_N

    def with_labels(self, synthetic: SyntheticSet, _episode: Episode) -> SyntheticSet:
        """The set itself."""
        return synthetic
