"""A space of ConvNets: every combination of depths, widths, activations, normalisations and poolings.

Source: the axes of dataset condensation's public code, whose product is the 720 networks of FTD (table 5): widths 32,
64, 128, 256; depths 1 to 4; three activations, five normalisations, three poolings.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import product

from dcpipe.models.convnet_network import Activation, ConvNetName, Norm, Pooling


def convnet_names(
    depths: Iterable[int],
    widths: Iterable[int],
    activations: Iterable[Activation],
    norms: Iterable[Norm],
    poolings: Iterable[Pooling],
    *,
    image_size: int,
) -> list[str]:
    """The names of those that take square images of so many pixels per side, in the order of the product."""
    every = product(depths, widths, activations, norms, poolings)
    networks = (
        ConvNetName(depth=depth, width=width, norm=norm, activation=activation, pooling=pooling)
        for depth, width, activation, norm, pooling in every
    )
    return [network.name for network in networks if network.image_size_problem(image_size) is None]


def shuffle_by_hash(names: Sequence[str]) -> list[str]:
    """The names in an order that has nothing to do with what they mean, and is the same always.

    So the first of them are a sample, a larger sample begins with the smaller one, and parts take about as long.
    """
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
