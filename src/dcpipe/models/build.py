"""From a network's name to the network as a function of one parameter vector."""

import importlib
from typing import Protocol

import torch

from dcpipe.models.flat import FlatModel
from dcpipe.models.network import Network
from dcpipe.params.network_name import ClassicName, ConvNetName, module_of, parse


class _Build(Protocol):
    def __call__(self, name: ConvNetName | ClassicName, *, channels: int, image_size: int, classes: int) -> Network: ...


def build(name: str, *, channels: int, image_size: int, classes: int) -> FlatModel:
    """The network of a name, for square images of `image_size` pixels. Draws nothing and allocates nothing.

    Raises: UserError for a name that is unknown or not canonical, and for images the network cannot take.
    """
    # by name, not by an import statement: a job's code identity counts the one module its network needs
    module = importlib.import_module(module_of(name))
    builder: _Build = module.build
    with torch.device("meta"):
        network = builder(parse(name), channels=channels, image_size=image_size, classes=classes)
    return FlatModel(network)
