"""The sizes that networks state are those of the networks that are built."""

import pytest

from dcpipe.models.classic_network import CLASSIC_SIZES, ClassicName
from dcpipe.params.network_name import Network, parse

CLASSIC = [(name, side) for name in ClassicName.names for side in CLASSIC_SIZES]
CONVNETS = ("convnet3", "convnet2-w64", "convnet1-layer", "convnet3-nonorm-nopool", "convnet2-w32-group-swish-maxpool")


@pytest.mark.parametrize(("name", "side"), [*CLASSIC, *((name, side) for name in CONVNETS for side in (8, 28, 32))])
def test_a_network_states_the_size_it_has(name: str, side: int) -> None:
    network, shape = parse(name), {"channels": 3, "image_size": side, "classes": 7}
    stated, traced = network.size(**shape), Network.size(network, **shape)
    assert stated.parameters == traced.parameters
    assert stated.operations == traced.operations
    # torch.relu in residual blocks is no layer that can be seen, and counts in what is stated
    assert traced.activations <= stated.activations <= 1.3 * traced.activations
    assert traced.widest <= stated.widest
    if "resnet" not in name:
        assert stated == traced
