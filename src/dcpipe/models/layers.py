"""What every layer of a network of blocks makes of its images.

Legend: N images, C channels, H W pixels, F features, P parameters.
"""

import torch
from torch import Tensor, nn

from dcpipe.models.flat import FlatModel
from dcpipe.models.layered import BlockNetwork
from dcpipe.params.network_name import parse


class LayeredModel(FlatModel):
    """A network of blocks as a function of its parameters that also answers what its blocks made.

    Raises: TypeError for a network that is none, although its name counts its blocks.
    """

    def __init__(self, name: str, *, channels: int, image_size: int, classes: int) -> None:
        with torch.device("meta"):
            network = parse(name).build(channels=channels, image_size=image_size, classes=classes)
        if not isinstance(network, BlockNetwork):
            raise TypeError(f"{name} is not a network of blocks: make {type(network).__name__} a BlockNetwork")
        super().__init__(network)
        self._activations = network.activation_layers()

    def layer_outputs(self, theta_P: Tensor, x_NCHW: Tensor) -> tuple[Tensor, ...]:
        """Each block's activations before its pooling (N x width x height x width), then the features (N x F)."""
        seen: list[Tensor] = []

        def note(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append(output)

        hooks = [activation.register_forward_hook(note) for activation in self._activations]
        try:
            features_NF = self.features(theta_P, x_NCHW)
        finally:
            for hook in hooks:
                hook.remove()
        return (*seen, features_NF)
