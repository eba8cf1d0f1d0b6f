"""The axis of how networks are trained on real or synthetic data: plain steps, or steps towards flat minima."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from dcpipe.params.axis import AxisValue

if TYPE_CHECKING:
    from dcpipe.experts.sharpness import DirectionRule


class FlatnessConfig(AxisValue, axis="flatness of network training"):
    """What a network descends: its gradient, or a direction towards flat minima."""

    @property
    def is_plain(self) -> bool:
        """Whether it is the gradient itself, one pass a step."""
        return False

    @property
    def passes(self) -> int:
        """Gradients a step."""
        return 1 if self.is_plain else 2

    @abstractmethod
    def build(self) -> "DirectionRule":
        """The direction of a step."""
