"""The size of any network, by a pass of one image on the meta device."""

import torch
from torch import Tensor, nn

from dcpipe.models.layered import FeatureNetwork
from dcpipe.params.work import NetworkSize


def traced_size(network: FeatureNetwork, *, channels: int, image_size: int) -> NetworkSize:
    """What the layers of a network on the meta device put out and compute, for one image."""
    activations, widest, operations = [0], [0], [0]

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Flatten | nn.Identity):
            return
        activations[0] += output[0].numel()
        widest[0] = max(widest[0], output[0].numel() + inputs[0][0].numel())
        if isinstance(layer, nn.Conv2d | nn.Linear):
            positions = output[0].numel() // len(layer.weight)
            operations[0] += 2 * layer.weight.numel() * positions

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if next(layer.children(), None) is None]
    try:
        network(torch.empty(2, channels, image_size, image_size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(parameters, activations[0], widest[0], operations[0])
