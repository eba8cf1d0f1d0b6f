"""MLP, LeNet, AlexNet, VGG and ResNet18 as the distillation papers evaluate them across architectures.

Legend: N images, C channels, H W pixels, K classes, F features.
The 28- and 32-pixel networks are those of DC's public code, the 64-pixel ones those of DATM's. Where the
public code goes by the number of channels (grey means 28 pixels there), ours goes by the number of pixels.

What is ours, because nothing is published:
* 128 pixels: LeNet and AlexNet take stride 4 in their first convolution (the published 64-pixel ones take 2);
  VGGs average their last 4x4 map; ResNet18 keeps the 64-pixel stem and averages 8x8 instead of 4x4.
* resnet18-ap at 64 and 128 pixels: its stem follows the rule of its blocks (convolve with stride 1, then
  average 2x2 pixels); at 128 pixels a last 2x2 average brings the map to the 4x4 of the smaller sizes.

Parameters are registered in the order of the public code, so that published checkpoints map onto ours.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dcpipe.models.classic_network import VGG_STAGES, VGG_WIDTHS, ClassicName
from dcpipe.models.layered import FeatureNetwork

Body = tuple[list[nn.Module], int]  # the layers up to the features, and how many features they give

STAGES = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))  # width, stride


class Classic(FeatureNetwork):
    """A chain of layers, flattened into one linear layer."""

    def __init__(self, body: list[nn.Module], features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(features, classes)

    def features(self, x_NCHW: Tensor) -> Tensor:
        """What the last layer classifies (`embed` in the papers' code). Shapes: N C H W -> N F."""
        return torch.flatten(self.body(x_NCHW), 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits. Shapes: N C H W -> N K."""
        logits_NK: Tensor = self.head(self.features(x_NCHW))
        return logits_NK


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut. `average` pools 2x2 pixels where the stride would skip them."""

    def __init__(self, channels: int, width: int, *, stride: int, batch_norm: bool, average: bool) -> None:
        super().__init__()
        skip, pool = (1, stride) if average else (stride, 1)
        self.conv1 = nn.Conv2d(channels, width, 3, stride=skip, padding=1, bias=False)
        self.norm1 = _norm(width, batch_norm)
        self.pool = nn.AvgPool2d(pool) if pool > 1 else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = _norm(width, batch_norm)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != width:
            project = nn.Conv2d(channels, width, 1, stride=skip, bias=False)
            shrink = [nn.AvgPool2d(pool)] if pool > 1 else []
            self.shortcut = nn.Sequential(project, *shrink, _norm(width, batch_norm))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shapes: N C H W in; N, width, and H and W over the stride out."""
        inner = self.pool(torch.relu(self.norm1(self.conv1(x_NCHW))))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x_NCHW))


def build(network: ClassicName, *, channels: int, image_size: int, classes: int) -> Classic:
    """The network of a name, for square images. Under `torch.device("meta")` nothing is drawn or allocated.

    Raises: UserError if the network has no layout for this size; the mlp has for every one.
    """
    network.refuse_size(image_size)
    body, features = _BODIES[network.name](channels, image_size)
    return Classic(body, features, classes)


def _norm(width: int, batch_norm: bool) -> nn.Module:
    # "instance" as in the ConvNet: a GroupNorm of one channel a group, with scale and shift
    return nn.BatchNorm2d(width, track_running_stats=False) if batch_norm else nn.GroupNorm(width, width)


def _mlp(channels: int, image_size: int) -> Body:
    first = nn.Linear(channels * image_size**2, 128)
    return [nn.Flatten(), first, nn.ReLU(), nn.Linear(128, 128), nn.ReLU()], 128


def _lenet(channels: int, image_size: int) -> Body:
    stride = max(image_size // 32, 1)
    padding = 2 if image_size == 28 else 0
    layers = [nn.Conv2d(channels, 6, 5, stride=stride, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return [*layers, nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()], 84


def _alexnet(*, batch_norm: bool) -> Callable[[int, int], Body]:
    def body(channels: int, image_size: int) -> Body:
        stride = max(image_size // 32, 1)
        padding = 4 if image_size == 28 else 2
        first = nn.Conv2d(channels, 128, 5, stride=stride, padding=padding)
        layers: list[nn.Module] = [first, *_activation(128, batch_norm), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(128, 192, 5, padding=2), *_activation(192, batch_norm), nn.MaxPool2d(2)]
        for before, width in ((192, 256), (256, 192), (192, 192)):
            layers += [nn.Conv2d(before, width, 3, padding=1), *_activation(width, batch_norm)]
        return [*layers, nn.MaxPool2d(2)], 192 * 4 * 4

    return body


def _activation(width: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(width, track_running_stats=False), nn.ReLU()] if batch_norm else [nn.ReLU()]


def _vgg(name: str, *, batch_norm: bool) -> Callable[[int, int], Body]:
    def body(channels: int, image_size: int) -> Body:
        layers: list[nn.Module] = []
        padding = 3 if image_size == 28 else 1
        for count, width in zip(VGG_STAGES[name], VGG_WIDTHS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=padding), _norm(width, batch_norm), nn.ReLU()]
                channels, padding = width, 1
            layers.append(nn.MaxPool2d(2))
        # as published at 64 pixels: a 1x1 average with stride 2 keeps the corner of the 2x2 map
        last = {64: [nn.AvgPool2d(1, stride=2)], 128: [nn.AvgPool2d(4)]}.get(image_size, [])
        return [*layers, *last], VGG_WIDTHS[-1]

    return body


def _resnet18(*, batch_norm: bool, average: bool) -> Callable[[int, int], Body]:
    def body(channels: int, image_size: int) -> Body:
        stride = 2 if image_size >= 64 else 1
        convolution = nn.Conv2d(channels, 64, 3, stride=1 if average else stride, padding=1, bias=False)
        shrink = [nn.AvgPool2d(stride)] if average and stride > 1 else []
        layers: list[nn.Module] = [nn.Sequential(convolution, _norm(64, batch_norm), nn.ReLU(), *shrink)]
        channels = 64
        for width, step in STAGES:
            block = ResidualBlock(channels, width, stride=step, batch_norm=batch_norm, average=average)
            layers.append(block)
            channels = width
        scale = 2 if image_size == 128 else 1  # the last map is twice as large there
        if not average:
            return [*layers, nn.AvgPool2d(4 * scale)], 512
        side = 3 if image_size == 28 else 4  # averaging rounds 7 pixels down to 3, a stride rounds them up to 4
        return [*layers, *([nn.AvgPool2d(scale)] if scale > 1 else [])], 512 * side**2

    return body


_BODIES: Mapping[str, Callable[[int, int], Body]] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "alexnet": _alexnet(batch_norm=False),
    "alexnet-bn": _alexnet(batch_norm=True),
    **{name: _vgg(name, batch_norm=False) for name in VGG_STAGES},
    **{f"{name}-bn": _vgg(name, batch_norm=True) for name in VGG_STAGES},
    "resnet18": _resnet18(batch_norm=False, average=False),
    "resnet18-bn": _resnet18(batch_norm=True, average=False),
    "resnet18-ap": _resnet18(batch_norm=False, average=True),
    "resnet18-ap-bn": _resnet18(batch_norm=True, average=True),
}
