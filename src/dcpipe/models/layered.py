"""Networks of blocks, whose layers can be compared."""

from abc import abstractmethod

from torch import Tensor, nn


class Layered(nn.Module):
    """What a network of blocks answers beside its logits. Legend: N images, C channels, H W pixels, F features."""

    @abstractmethod
    def activations(self) -> list[nn.Module]:
        """The layer of each block whose output is compared: its activation, before any pooling."""

    @abstractmethod
    def features(self, x_NCHW: Tensor) -> Tensor:
        """What the last layer classifies. Shapes: N C H W -> N F."""
