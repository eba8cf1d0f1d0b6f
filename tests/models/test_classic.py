"""The classic networks: published sizes, one layout for each image size, and refusals for the others."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from torch import Tensor

from dcpipe.errors import UserError
from dcpipe.models import classic
from dcpipe.models.build import build
from dcpipe.models.classic_network import CLASSIC_SIZES
from dcpipe.random import Stream

COLOUR_32 = {
    "mlp": 411_146,
    "lenet": 62_006,
    "alexnet": 1_872_202,
    "vgg11": 9_231_114,
    "vgg13": 9_416_010,
    "vgg16": 14_728_266,
    "vgg19": 20_040_522,
    "resnet18": 11_173_962,
    "resnet18-ap": 11_250_762,
}
GREY_28 = {  # two input channels fewer; the mlp also has fewer pixels, resnet18-ap a 3x3 last map
    "mlp": 118_282,
    "lenet": 61_706,
    "alexnet": 1_872_202 - 2 * 128 * 25,
    **{name: COLOUR_32[name] - 2 * 64 * 9 for name in ("vgg11", "vgg13", "vgg16", "vgg19")},
    "resnet18": 11_173_962 - 2 * 64 * 9,
    "resnet18-ap": 11_250_762 - 2 * 64 * 9 - (16 - 9) * 512 * 10,
}


def digits(side: int, count: int = 4) -> Tensor:
    """Real digits enlarged to N 1 side side, float64 in [0, 1]."""
    x_NCHW = torch.from_numpy(load_digits().images[:count] / 16).unsqueeze(1)
    return F.interpolate(x_NCHW, size=(side, side), mode="bilinear")


def test_parameter_counts_are_the_published_ones() -> None:
    for channels, image_size, published in ((3, 32, COLOUR_32), (1, 28, GREY_28)):
        built = {name: build(name, channels=channels, image_size=image_size, classes=10) for name in published}
        assert {name: network.num_parameters for name, network in built.items()} == published


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet18-ap"])
def test_batch_norm_variants_learn_as_many_parameters(name: str) -> None:
    batch = build(f"{name}-bn", channels=3, image_size=32, classes=10)
    assert batch.num_parameters == COLOUR_32[name]
    assert batch.has_running_statistics
    assert not build(name, channels=3, image_size=32, classes=10).has_running_statistics


def test_batch_norm_adds_scales_and_shifts_to_alexnet() -> None:
    """The AlexNetBN of DC's public code: its convolutions and those norms behind them."""
    plain, batch = (build(name, channels=3, image_size=32, classes=10) for name in ("alexnet", "alexnet-bn"))
    assert batch.num_parameters == COLOUR_32["alexnet"] + 2 * (128 + 192 + 256 + 192 + 192)
    assert [spec.shape for spec in batch.layout if len(spec.shape) > 1] == [
        spec.shape for spec in plain.layout if len(spec.shape) > 1
    ]
    assert (batch.has_running_statistics, plain.has_running_statistics) == (True, False)


@pytest.mark.parametrize(
    ("name", "convolutions"), [("vgg11", 8), ("vgg13", 10), ("vgg16", 13), ("vgg19", 16), ("vgg19-bn", 16)]
)
def test_a_vgg_has_as_many_layers_of_weights_as_its_number(name: str, convolutions: int) -> None:
    """Convolutions of 3x3 pixels and, of the three dense layers of the ImageNet network, the last."""
    layout = build(name, channels=3, image_size=32, classes=10).layout
    kernels = [spec.shape for spec in layout if len(spec.shape) == 4]
    assert [shape[2:] for shape in kernels] == [(3, 3)] * convolutions
    assert convolutions + 3 == int(name.removeprefix("vgg").removesuffix("-bn"))
    assert [shape[0] for shape in kernels] == sorted(shape[0] for shape in kernels)


@pytest.mark.parametrize("name", [name for name in COLOUR_32 if name != "mlp"])
def test_larger_images_change_strides_and_pools_but_no_parameter(name: str) -> None:
    layouts = [build(name, channels=3, image_size=size, classes=10).layout for size in (32, 64, 128)]
    assert layouts[0] == layouts[1] == layouts[2]


@pytest.mark.slow
def test_every_layout_takes_its_images_to_features_and_logits(subtests: pytest.Subtests) -> None:
    names = [*COLOUR_32, "alexnet-bn", "vgg11-bn", "vgg19-bn", "resnet18-bn", "resnet18-ap-bn"]
    for name, image_size, channels in product(names, CLASSIC_SIZES, (1, 3)):
        with subtests.test(name=name, image_size=image_size, channels=channels):
            network = build(name, channels=channels, image_size=image_size, classes=7)
            theta_P = torch.empty(network.num_parameters, device="meta")
            x_NCHW = torch.empty(2, channels, image_size, image_size, device="meta")
            assert network(theta_P, x_NCHW).shape == (2, 7)
            head = network.layout[-2].shape
            assert network.features(theta_P, x_NCHW).shape == (2, head[1])


@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg11", "vgg13"])
def test_28_pixels_are_32_pixels_with_a_black_frame(name: str) -> None:
    small, large = (build(name, channels=1, image_size=size, classes=10) for size in (28, 32))
    theta_P = small.initial_parameters(Stream.root(0, "test").generator(), dtype=torch.float64)
    x_NCHW = digits(28, count=2)
    framed_NCHW = F.pad(x_NCHW, (2, 2, 2, 2))
    torch.testing.assert_close(small(theta_P, x_NCHW), large(theta_P, framed_NCHW))


def test_lenet_at_64_pixels_reads_every_second_position() -> None:
    small, large = (build("lenet", channels=1, image_size=size, classes=10) for size in (32, 64))
    theta_P = small.initial_parameters(Stream.root(0, "test").generator(), dtype=torch.float64)
    tensors = small.unflatten(theta_P)
    weight, bias = tensors["body.0.weight"], tensors["body.0.bias"]
    full = F.conv2d(digits(64), weight, bias)[:, :, ::2, ::2]
    rest = classic.build(classic.ClassicName("lenet"), channels=1, image_size=64, classes=10).double()
    rest.load_state_dict(tensors)
    expected_NF = rest.body[1:](full)
    torch.testing.assert_close(large.features(theta_P, digits(64)), expected_NF)


@pytest.mark.parametrize("name", ["resnet18", "resnet18-ap"])
def test_a_residual_block_without_its_inner_path_is_its_shortcut(name: str) -> None:
    average = name.endswith("-ap")
    block = classic.ResidualBlock(3, 8, stride=2, batch_norm=False, average=average).double()
    torch.nn.init.zeros_(block.norm2.weight)
    x_NCHW = digits(32).expand(-1, 3, -1, -1)
    torch.testing.assert_close(block(x_NCHW), torch.relu(block.shortcut(x_NCHW)))
    assert block(x_NCHW).shape == (4, 8, 16, 16)


def test_the_pooling_shortcut_sees_all_pixels_and_the_strided_a_quarter() -> None:
    seen = []
    for average in (False, True):
        block = classic.ResidualBlock(1, 2, stride=2, batch_norm=False, average=average).double()
        x_NCHW = digits(32).requires_grad_()
        (gradient,) = torch.autograd.grad(block.shortcut(x_NCHW).square().sum(), x_NCHW)
        touched = (gradient != 0).double().amax((0, 1))
        seen.append((touched[::2, ::2].mean().item() > 0, touched[1::2, 1::2].mean().item() > 0))
    assert seen == [(True, False), (True, True)]


def test_other_sizes_are_refused_by_network_and_size(subtests: pytest.Subtests) -> None:
    for name, size in product((name for name in COLOUR_32 if name != "mlp"), (8, 16, 31, 96)):
        line = f"{name} has no layout for images of {size}x{size} pixels"
        with subtests.test(name=name, size=size), pytest.raises(UserError, match=line):
            build(name, channels=1, image_size=size, classes=10)


def test_the_mlp_takes_any_size() -> None:
    for image_size in (8, 31, 96):
        network = build("mlp", channels=1, image_size=image_size, classes=10)
        assert network.num_parameters == image_size**2 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10


def test_no_activation_overwrites_its_input() -> None:
    for name in (*COLOUR_32, "resnet18-bn"):
        with torch.device("meta"):
            network = classic.build(classic.ClassicName(name), channels=3, image_size=32, classes=10)
        assert not [layer for layer in network.modules() if getattr(layer, "inplace", False)], name
