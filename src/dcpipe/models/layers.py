"""The outputs of every layer of a ConvNet.

Legend: N images, C channels, H W pixels, F features, P parameters.
"""

import torch
from torch import Tensor, nn

from dcpipe.models.convnet import Block, build
from dcpipe.models.flat import FlatModel
from dcpipe.params.network_name import parse


class LayeredConvNet(FlatModel):
    """A ConvNet as a function of its parameters that also returns the outputs of its blocks."""

    def __init__(self, name: str, *, channels: int, image_size: int, classes: int) -> None:
        with torch.device("meta"):
            network = build(parse(name), channels=channels, image_size=image_size, classes=classes)
        super().__init__(network)
        self._activations: list[nn.Module] = [m.activation for m in network.blocks if isinstance(m, Block)]

    def layers(self, theta_P: Tensor, x_NCHW: Tensor) -> tuple[Tensor, ...]:
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
