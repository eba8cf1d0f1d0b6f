"""The ConvNet: the published sizes, and the published arithmetic written out by hand."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dcpipe.errors import UserError
from dcpipe.models import convnet
from dcpipe.models.build import build
from dcpipe.models.convnet_network import Activation, ConvNetName, Norm
from dcpipe.random import Stream


def digits(count: int = 6) -> Tensor:
    """Real digits, N 1 8 8, float64 in [0, 1]."""
    return torch.from_numpy(load_digits().images[:count] / 16).unsqueeze(1)


@pytest.mark.parametrize(
    ("name", "channels", "image_size", "classes", "parameters"),
    [
        ("convnet3", 1, 28, 10, 317_706),  # MNIST, FashionMNIST
        ("convnet3", 3, 32, 10, 320_010),  # CIFAR-10, SVHN
        ("convnet3", 3, 32, 100, 504_420),  # CIFAR-100
        ("convnet4", 3, 64, 200, 857_160),  # Tiny-ImageNet
        ("convnet3", 3, 64, 200, 1_938_120),  # Tiny-ImageNet, at the depth of the benchmark's commands
        ("convnet5", 3, 128, 10, 615_690),  # ImageNet subsets
        ("convnet4", 3, 64, 1000, 2_496_360),  # ImageNet-1K
        ("convnet2-w64", 1, 8, 10, 40_394),  # scikit-learn's digits
    ],
)
def test_parameter_counts_are_the_published_ones(
    name: str, channels: int, image_size: int, classes: int, parameters: int
) -> None:
    network = build(name, channels=channels, image_size=image_size, classes=classes)
    assert network.num_parameters == parameters


def test_logits_are_blocks_of_four_layers_and_one_linear_layer() -> None:
    network = build("convnet2-w8", channels=1, image_size=8, classes=10)
    theta_P = network.initial_parameters(Stream.root(0, "test").generator(), dtype=torch.float64)
    theta_P = theta_P + 0.1 * torch.sin(torch.arange(len(theta_P)))  # scale and shift away from 1 and 0
    tensors = list(network.unflatten(theta_P).values())
    x = digits()
    for weight, bias, scale, shift in (tensors[0:4], tensors[4:8]):
        x = F.conv2d(x, weight, bias, padding=1)
        spread, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        x = (x - mean) / torch.sqrt(spread + 1e-5) * scale[:, None, None] + shift[:, None, None]
        x = F.avg_pool2d(x.clamp(min=0), 2)
    expected_NK = x.reshape(len(x), -1) @ tensors[8].T + tensors[9]
    torch.testing.assert_close(network(theta_P, digits()), expected_NK, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [4, 5, 8])
def test_average_pooling_and_its_two_derivatives_are_the_librarys(size: int) -> None:
    def through(pool: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        x = digits()[:, :, :size, :size].requires_grad_()
        pooled = pool(x)
        (first,) = torch.autograd.grad(pooled.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(3).sum(), x)
        return pooled, first, second

    torch.testing.assert_close(through(convnet.AveragePool(size)), through(nn.AvgPool2d(2)), rtol=1e-13, atol=1e-13)


def test_28_pixels_are_32_pixels_with_a_black_frame() -> None:
    small, large = (build("convnet3-w8", channels=1, image_size=size, classes=10) for size in (28, 32))
    theta_P = small.initial_parameters(Stream.root(0, "test").generator(), dtype=torch.float64)
    x_NCHW = F.interpolate(digits(), size=(28, 28), mode="bilinear")
    torch.testing.assert_close(small(theta_P, x_NCHW), large(theta_P, F.pad(x_NCHW, (2, 2, 2, 2))))


@pytest.mark.parametrize(
    ("modifier", "of_the_norms"),
    [("nonorm", 0), ("batch", 32), ("instance", 32), ("group", 32), ("layer", 2 * 8 * (8 * 8 + 4 * 4))],
)
def test_norms_differ_in_what_they_learn(modifier: Norm, of_the_norms: int) -> None:
    bare, named = (
        build(ConvNetName(2, width=8, norm=norm).name, channels=1, image_size=8, classes=10).num_parameters
        for norm in ("nonorm", modifier)
    )
    assert named - bare == of_the_norms


@pytest.mark.parametrize(("modifier", "over"), [("instance", (3, 4)), ("group", (2, 3, 4)), ("layer", (1, 2, 3, 4))])
def test_norms_centre_the_group_they_are_named_for(modifier: Norm, over: tuple[int, ...]) -> None:
    name = ConvNetName(1, width=8, norm=modifier, activation="relu", pooling="nopool")
    block = convnet.build(name, channels=1, image_size=8, classes=10).double().blocks[0]
    large_NCHW = 1000 * digits()  # so that eps does not count
    seen = block.norm(block.conv(large_NCHW)).reshape(6, 4, 2, 8, 8)  # 8 channels as 4 groups of 2
    var, mean = torch.var_mean(seen, over, correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-10)
    torch.testing.assert_close(var, torch.ones_like(var), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("modifier", "side"), [("", 2), ("-maxpool", 2), ("-nopool", 8)])
def test_pooling_halves_once_a_block_or_never(modifier: str, side: int) -> None:
    network = build(f"convnet2-w8{modifier}", channels=1, image_size=8, classes=10)
    theta_P = network.initial_parameters(Stream.root(0, "test").generator(), dtype=torch.float64)
    assert network.features(theta_P, digits()).shape == (6, 8 * side * side)


@pytest.mark.parametrize(
    ("modifier", "function"),
    [
        ("sigmoid", torch.sigmoid),
        ("leakyrelu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("swish", lambda x: x * torch.sigmoid(x)),
        ("relu", lambda x: x.clamp(min=0)),
    ],
)
def test_activations_are_the_named_functions_and_leave_their_input_alone(
    modifier: Activation, function: Callable[[Tensor], Tensor]
) -> None:
    name = ConvNetName(1, activation=modifier)
    activation = convnet.build(name, channels=1, image_size=8, classes=10).blocks[0].activation
    x_NCHW = digits() - 0.5
    kept = x_NCHW.clone()
    torch.testing.assert_close(activation(x_NCHW), function(kept))
    assert torch.equal(x_NCHW, kept)


def test_images_too_small_for_the_depth_are_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match=r"convnet4 halves its images 4 times, 8x8 pixels allow 3"):
        build("convnet4", channels=1, image_size=8, classes=10)


def test_the_head_is_a_linear_layer_over_the_features() -> None:
    network = convnet.build(ConvNetName(3), channels=3, image_size=32, classes=10)
    assert isinstance(network.head, nn.Linear)
    assert network.head.in_features == 2048
