"""ConvNet: the network that the distillation papers record experts of and distil with.

Legend: N images, C channels, H W pixels, K classes, F features.
Parameters are registered in the order of the public code (block by block: convolution weight and bias, norm
scale and shift; then the classifier), so that published checkpoints map onto ours one to one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcpipe.models.convnet_network import GROUPS, Activation, ConvNetName, Norm
from dcpipe.models.layered import BlockNetwork


class AveragePool(nn.Module):
    """`nn.AvgPool2d(2)` of square images, to rounding; on a CPU as a product with a constant matrix.

    A whole network's gradient takes 0.82 (8x8 pixels, batch 100) to 0.9 (32x32, batch 10) of the time with the
    library's layer, a pullback 0.86 to 0.94.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        row = torch.eye(side // 2, device="cpu").repeat_interleave(2, dim=0)
        self._means = (
            torch.cat([row, row]) / 4
        )  # from two rows of pixels, one behind the other, to their squares' means

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shapes: N C H W in; half of H and W, rounded down, out."""
        count, channels, side, _ = x_NCHW.shape
        if side % 2 or not x_NCHW.is_cpu:
            return functional.avg_pool2d(x_NCHW, 2)
        pooled = x_NCHW.reshape(-1, 2 * side) @ self._means.to(x_NCHW.dtype)
        return pooled.view(count, channels, side // 2, side // 2)


class Block(nn.Module):
    """3x3 convolution, norm, activation, pooling. `side` is the height and width the norm sees, in pixels."""

    def __init__(self, network: ConvNetName, channels: int, *, side: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, network.width, kernel_size=3, padding=padding)
        self.norm = _norm(network.norm, network.width, side)
        self.activation = _activation(network.activation)
        self.pool = {
            "nopool": nn.Identity(),
            "maxpool": nn.MaxPool2d(2),
            "avgpool": AveragePool(side),
        }[network.pooling]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shapes: N C H W in; N, width, and half of H and W (all of it without pooling) out."""
        pooled: Tensor = self.pool(self.activation(self.norm(self.conv(x_NCHW))))
        return pooled


class ConvNet(BlockNetwork):
    """`depth` blocks, flattened into one linear layer; no dropout and no global pooling.

    Source: DC, arXiv:2006.05929, as in its public code; MTT and what follows it use the same network.
    """

    def __init__(self, network: ConvNetName, *, channels: int, image_size: int, classes: int) -> None:
        super().__init__()
        sides = network.sides(image_size)
        first = Block(network, channels, side=sides[0], padding=3 if image_size == 28 else 1)
        rest = [Block(network, network.width, side=side, padding=1) for side in sides[1:-1]]
        self.blocks = nn.Sequential(first, *rest)
        self._activations = [block.activation for block in (first, *rest)]
        self.head = nn.Linear(network.width * sides[-1] ** 2, classes)

    def activation_layers(self) -> list[nn.Module]:
        """The activation of each block."""
        return self._activations

    def features(self, x_NCHW: Tensor) -> Tensor:
        """What the last layer classifies (`embed` in the papers' code). Shapes: N C H W -> N F."""
        return torch.flatten(self.blocks(x_NCHW), 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits. Shapes: N C H W -> N K."""
        logits_NK: Tensor = self.head(self.features(x_NCHW))
        return logits_NK


def build(network: ConvNetName, *, channels: int, image_size: int, classes: int) -> ConvNet:
    """The ConvNet of a name, for square images. Under `torch.device("meta")` nothing is drawn or allocated.

    Raises: UserError if the images are too small for the depth.
    """
    network.refuse_size(image_size)
    return ConvNet(network, channels=channels, image_size=image_size, classes=classes)


def _norm(norm: Norm, width: int, side: int) -> nn.Module:
    """A norm with learned scale and shift. None keeps running statistics: `flat` hands them in for "batch".

    "instance" is a GroupNorm of one channel a group, as in the papers' code: unlike `nn.InstanceNorm2d` it
    has a scale and a shift by default, and so a different number of parameters.
    """
    match norm:
        case "nonorm":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(width, track_running_stats=False)
        case "layer":
            return nn.LayerNorm([width, side, side])
        case "instance":
            return nn.GroupNorm(width, width)
        case "group":
            return nn.GroupNorm(GROUPS, width)


def _activation(activation: Activation) -> nn.Module:
    """Out of place: an activation that overwrites its input breaks functional transforms."""
    match activation:
        case "sigmoid":
            return nn.Sigmoid()
        case "relu":
            return nn.ReLU()
        case "leakyrelu":
            return nn.LeakyReLU(0.01)
        case "swish":
            return nn.SiLU()
