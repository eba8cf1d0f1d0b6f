"""From a network's name to the network as a function of one parameter vector."""

import torch

from dcpipe import device
from dcpipe.models.flat import FlatModel
from dcpipe.params.compute import Precision
from dcpipe.params.network_name import parse


def build(name: str, *, channels: int, image_size: int, classes: int, precision: Precision = "float32") -> FlatModel:
    """The network of a name, for square images of `image_size` pixels. Draws nothing and allocates nothing.

    Precision tf32 is the whole process's, until `device.configure_torch` is called again.

    Raises: UserError for a name that is unknown or not canonical, and for images the network cannot take; TypeError
    for a network that has batch norms and whose name denies it, or the other way round.
    """
    network = parse(name)
    network.refuse_size(image_size)
    if precision == "tf32":
        device.allow_tf32()
    with torch.device("meta"):
        model = FlatModel(network.build(channels=channels, image_size=image_size, classes=classes), precision)
    if model.has_running_statistics != network.has_running_statistics:
        raise TypeError(f"{type(network).__name__}.has_running_statistics is wrong for {name}")
    return model
