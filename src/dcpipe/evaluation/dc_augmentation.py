"""DC's own augmentation of the networks that are tested: each image is cropped, scaled, rotated or made noisy.

It is neither differentiable nor shared by a batch, unlike DSA. DC trains with it on MNIST (`one-of-crop-scale-rotate`)
and for ConvNets with batch norm (`one-of-crop-noise`), 1,000 epochs instead of 300.

Source: DC, arXiv:2006.05929, the constants and borders of its public code: what a crop or a rotation leaves open has
the mean colour of the batch, what a smaller image leaves open is 0.

Legend: N images, C channels, H W pixels.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from dcpipe.evaluation.batch_augmentation import Batch

CROP_PIXELS = 4  # pixels of border: the shift is -4 .. 3
SCALE_RANGE = 0.2  # each side by a factor between 0.8 and 1.2
ROTATE_DEGREES = 45  # whole degrees, -45 .. 44
NOISE_STD = 0.001  # standard deviation


def by_dc(images_BCHW: Tensor, labels_B: Tensor, draws: torch.Generator, *, operations: Sequence[str]) -> Batch:
    """A batch whose images each went through one of some operations; the labels as they are."""
    return one_of(images_BCHW, operations, draws), labels_B


def one_of(images_NCHW: Tensor, operations: Sequence[str], draws: torch.Generator) -> Tensor:
    """A copy of the images, each after one operation, drawn uniformly; same shape, dtype and device.

    Takes the same amount of numbers from the generator whatever comes out.
    """
    chosen = torch.randint(len(operations), (len(images_NCHW),), generator=draws).tolist()
    uniform_N2 = torch.rand(len(images_NCHW), 2, generator=draws, dtype=torch.float64)
    noise_NCHW = torch.randn(images_NCHW.shape, generator=draws)
    images = images_NCHW.detach().cpu()
    mean_C11 = images.mean(dim=(0, 2, 3))[:, None, None]
    changed = [
        _OPERATIONS[operations[choice]](image, mean_C11, tuple(uniform.tolist()), noise)
        for image, choice, uniform, noise in zip(images, chosen, uniform_N2, noise_NCHW, strict=True)
    ]
    return torch.stack(changed).to(images_NCHW)


def crop(image_CHW: Tensor, mean_C11: Tensor, uniform: tuple[float, ...], _noise: Tensor) -> Tensor:
    """A shift by whole pixels; the border has the batch's mean colour."""
    channels, height, width = image_CHW.shape
    canvas = mean_C11.expand(channels, height + 2 * CROP_PIXELS, width + 2 * CROP_PIXELS).clone()
    canvas[:, CROP_PIXELS : CROP_PIXELS + height, CROP_PIXELS : CROP_PIXELS + width] = image_CHW
    top, left = (math.floor(value * 2 * CROP_PIXELS) for value in uniform)
    return canvas[:, top : top + height, left : left + width]


def scale(image_CHW: Tensor, _mean: Tensor, uniform: tuple[float, ...], _noise: Tensor) -> Tensor:
    """Each side by a factor of its own, nearest pixels, centred; zeros around a smaller image."""
    side, factors = image_CHW.shape[1], [1 - SCALE_RANGE + 2 * SCALE_RANGE * value for value in uniform]
    height, width = (int(factor * side) for factor in factors)
    sized = torch.nn.functional.interpolate(image_CHW[None], (height, width))[0]
    room = max(height, width, *image_CHW.shape[1:])
    canvas = image_CHW.new_zeros(len(image_CHW), room, room)
    top, left = (room - height) // 2, (room - width) // 2
    canvas[:, top : top + height, left : left + width] = sized
    return _centre_crop(canvas, image_CHW)


def rotate(image_CHW: Tensor, mean_C11: Tensor, uniform: tuple[float, ...], _noise: Tensor) -> Tensor:
    """By whole degrees, cubic splines; the corners have the mean of the batch's colours."""
    from scipy import ndimage

    angle = math.floor(uniform[0] * 2 * ROTATE_DEGREES) - ROTATE_DEGREES
    turned = ndimage.rotate(image_CHW.numpy(), angle=angle, axes=(-2, -1), cval=float(mean_C11.mean()))
    return _centre_crop(torch.from_numpy(turned), image_CHW)


def noise(image_CHW: Tensor, _mean: Tensor, _uniform: tuple[float, ...], noise_CHW: Tensor) -> Tensor:
    """Plus normal noise."""
    return image_CHW + NOISE_STD * noise_CHW


def _centre_crop(canvas_CHW: Tensor, image_CHW: Tensor) -> Tensor:
    """The middle of a canvas, of the size of an image."""
    _, height, width = image_CHW.shape
    top, left = (canvas_CHW.shape[1] - height) // 2, (canvas_CHW.shape[2] - width) // 2
    return canvas_CHW[:, top : top + height, left : left + width]


_OPERATIONS: Mapping[str, Callable[[Tensor, Tensor, tuple[float, ...], Tensor], Tensor]] = {
    "crop": crop,
    "scale": scale,
    "rotate": rotate,
    "noise": noise,
}
