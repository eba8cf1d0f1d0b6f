"""The axes of matchings with networks of their own: what of their gradients is compared, and how they are trained."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from dcpipe.params.method_axes import MethodValue

if TYPE_CHECKING:
    from dcpipe.distillation.distances.gradient_rows import Rows
    from dcpipe.distillation.distances.row_distances import RowDistance
    from dcpipe.distillation.levels.level_weights import Levels
    from dcpipe.distillation.training.stopping_rules import StoppingRule
    from dcpipe.distillation.updates.update_counts import LastUpdateRule


class GradientLevelsConfig(MethodValue, axis="gradient levels"):
    """Of which groups of classes the gradients are matched."""

    @abstractmethod
    def build(self, classes: int) -> "Levels":
        """The weights of the two levels in an update."""


class GradientRowsConfig(MethodValue, axis="gradient rows", shorthand=True):
    """What counts as one row where two gradients are compared row by row."""

    @abstractmethod
    def build(self) -> "Rows":
        """What cuts a gradient into rows."""


class GradientMagnitudeConfig(MethodValue, axis="gradient magnitude"):
    """How the lengths of two gradients are compared, row by row."""

    @property
    def distance_weight(self) -> float:
        """What the distance is multiplied by; 0 where it counts nothing."""
        return 0.0

    @abstractmethod
    def build(self) -> "RowDistance":
        """The distance of rows."""


class UpdatesPerNetworkConfig(MethodValue, axis="updates per network"):
    """How many updates of the images are made against one network."""

    @property
    def max_updates(self) -> int:
        """How many there are at most."""
        return 1

    @property
    def is_single_update(self) -> bool:
        """Whether there is exactly one."""
        return False

    @abstractmethod
    def build(self) -> "LastUpdateRule":
        """What says when a network has served."""


class TrainingConfig(MethodValue, axis="network training"):
    """How a network is trained on the synthetic set between updates of the images."""

    @property
    def images_per_step(self) -> int | None:
        """Synthetic images per step; None where the network is not trained."""
        return None

    @property
    def max_epochs(self) -> int:
        """Epochs after an update, at most."""
        return 0

    @abstractmethod
    def build(self) -> "StoppingRule":
        """What says when the training between two updates ends."""
