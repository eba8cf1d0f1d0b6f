"""What every network is, and what a network of blocks is besides.

Legend: N images, C channels, H W pixels, F features.
"""

from abc import abstractmethod

from torch import Tensor, nn


class FeatureNetwork(nn.Module):
    """A network for square images: logits by a call, and what its last layer classifies by `features`."""

    @abstractmethod
    def features(self, x_NCHW: Tensor) -> Tensor:
        """What the last layer classifies. Shapes: N C H W -> N F."""


class BlockNetwork(FeatureNetwork):
    """A network of blocks, whose layers can be compared."""

    @abstractmethod
    def activation_layers(self) -> list[nn.Module]:
        """The layer of each block whose output is compared: its activation, before any pooling."""
