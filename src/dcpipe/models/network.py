"""What every network here is: a module that also gives its features."""

from abc import abstractmethod

from torch import Tensor, nn


class Network(nn.Module):
    """A network for square images: logits by a call, and what its last layer classifies by `features`.

    Legend: N images, C channels, H W pixels, F features.
    """

    @abstractmethod
    def features(self, x_NCHW: Tensor) -> Tensor:
        """The input of the last linear layer. Shapes: N C H W -> N F."""
