"""Which networks have analytic derivatives (`dcpipe.models.convnet_derivatives`), and what they keep.

Loads no torch.
"""

from itertools import pairwise

from dcpipe.models.convnet_network import ConvNetName
from dcpipe.params.network_name import parse


def find_analytic_convnet(name: str, image_size: int) -> ConvNetName | None:
    """The ConvNet of a name, if it has instance norms, ReLU and average pooling of sides that halve; else None."""
    network = parse(name)
    if not isinstance(network, ConvNetName):
        return None
    kind = (network.norm, network.activation, network.pooling)
    halves = all(side % 2 == 0 for side in network.sides(image_size)[:-1])
    return network if kind == ("instance", "relu", "avgpool") and halves else None


def stored_numbers_per_image(name: str, *, channels: int, image_size: int, classes: int) -> int | None:
    """How many numbers a gradient of one image keeps beside parameters; None where autograd keeps a graph."""
    network = find_analytic_convnet(name, image_size)
    if network is None:
        return None
    sides, width = network.sides(image_size), network.width
    found = 2 * channels * image_size**2 + 9 * channels * sides[0] ** 2 + 2 * classes
    for before, after in pairwise(sides):
        found += width * (before**2 + 4 * after**2 + 3)  # one tensor before the pooling, four after it
    return found
