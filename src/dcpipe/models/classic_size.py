"""The sizes of the fixed networks, layer by layer as `dcpipe.models.classic` builds them, without torch."""

from dcpipe.models.classic_network import VGG_STAGES, VGG_WIDTHS
from dcpipe.params.work import NetworkSizeBuilder

STAGES = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))  # width, stride


def sum_layers(name: str, channels: int, image_size: int, classes: int) -> NetworkSizeBuilder:
    """The sum over the layers of a network for square images."""
    found = NetworkSizeBuilder(channels, image_size)
    if name == "mlp":
        _dense(found, 128, 128)
    elif name == "lenet":
        _lenet(found, image_size)
    elif name.startswith("alexnet"):
        _alexnet(found, image_size, batch_norm=name.endswith("-bn"))
    elif name.startswith("vgg"):
        _vgg(found, VGG_STAGES[name.removesuffix("-bn")], image_size)
    else:
        _resnet18(found, image_size, average="-ap" in name)
    found.linear(classes)
    return found


def _dense(layers: NetworkSizeBuilder, *widths: int) -> None:
    for width in widths:
        layers.linear(width)
        layers.activation()


def _lenet(layers: NetworkSizeBuilder, image_size: int) -> None:
    layers.convolution(6, 5, stride=max(image_size // 32, 1), padding=2 if image_size == 28 else 0)
    layers.activation()
    layers.pool(2)
    layers.convolution(16, 5)
    layers.activation()
    layers.pool(2)
    _dense(layers, 120, 84)


def _alexnet(layers: NetworkSizeBuilder, image_size: int, *, batch_norm: bool) -> None:
    layers.convolution(128, 5, stride=max(image_size // 32, 1), padding=4 if image_size == 28 else 2)
    _add_norm_and_activation(layers, 128, batch_norm)
    layers.pool(2)
    layers.convolution(192, 5, padding=2)
    _add_norm_and_activation(layers, 192, batch_norm)
    layers.pool(2)
    for width in (256, 192, 192):
        layers.convolution(width, 3, padding=1)
        _add_norm_and_activation(layers, width, batch_norm)
    layers.pool(2)


def _add_norm_and_activation(layers: NetworkSizeBuilder, width: int, batch_norm: bool) -> None:
    if batch_norm:
        layers.norm(2 * width)
    layers.activation()


def _vgg(layers: NetworkSizeBuilder, stages: tuple[int, ...], image_size: int) -> None:
    padding = 3 if image_size == 28 else 1
    for count, width in zip(stages, VGG_WIDTHS, strict=True):
        for _ in range(count):
            layers.convolution(width, 3, padding=padding)
            layers.norm(2 * width)
            layers.activation()
            padding = 1
        layers.pool(2)
    if image_size == 64:
        layers.pool(1, stride=2)
    elif image_size == 128:
        layers.pool(4)


def _resnet18(layers: NetworkSizeBuilder, image_size: int, *, average: bool) -> None:
    stride = 2 if image_size >= 64 else 1
    layers.convolution(64, 3, stride=1 if average else stride, padding=1, bias=False)
    layers.norm(2 * 64)
    layers.activation()
    if average and stride > 1:
        layers.pool(stride)
    for width, step in STAGES:
        _residual_block(layers, width, step, average=average)
    scale = 2 if image_size == 128 else 1
    if not average:
        layers.pool(4 * scale)
    elif scale > 1:
        layers.pool(scale)


def _residual_block(layers: NetworkSizeBuilder, width: int, stride: int, *, average: bool) -> None:
    skip, pool = (1, stride) if average else (stride, 1)
    shortcut = layers.new_branch()
    if stride > 1 or layers.channels != width:
        shortcut.convolution(width, 1, stride=skip, bias=False)
        if pool > 1:
            shortcut.pool(pool)
        shortcut.norm(2 * width)
    layers.convolution(width, 3, stride=skip, padding=1, bias=False)
    layers.norm(2 * width)
    layers.activation()
    if pool > 1:
        layers.pool(pool)
    layers.convolution(width, 3, padding=1, bias=False)
    layers.norm(2 * width)
    layers.activation()
    layers.add_parallel(shortcut)
