"""Differentiable siamese augmentation (DSA): draw parameters once, apply them as a pure function.

N images, C channels, H W pixels, Q parameters of a family (columns, see `_values`).

Drawing and applying are apart, so that one draw can serve real and synthetic images alike (siamese), both
passes of a two-pass optimiser, and any split of a batch. Every family is affine in the pixels, hence `apply`
can be differentiated any number of times, by autograd and inside `torch.func` transforms.

Whose operation it is, and why:
  brightness  Kornia, with its clipping off: adds one number per image, as published.
  saturation  ours: published around the plain mean of the channels, Kornia around their luma, and it clips.
  contrast    ours: published around the mean of a whole image, Kornia around its luma, and it clips.
  crop        ours: a shift by whole pixels is exact by indexing, Kornia interpolates it.
  cutout      ours: the published window is cut at the borders, Kornia keeps its window inside the image.
  flip        Kornia, selected image by image.
  scale, rotate  ours: Kornia ends in `grid_sample`, whose backward pass on CUDA depends on thread timing.

Source: DSA, arXiv:2102.08259, with the constants of its released code; `align_corners` as the
trajectory-matching family sets it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from dcpipe.errors import UserError

AugmentationFamily = Literal["color", "crop", "cutout", "flip", "scale", "rotate"]
FAMILIES: tuple[AugmentationFamily, ...] = get_args(AugmentationFamily)


@dataclass(frozen=True, slots=True)
class DSAParams:
    """How strong each operation is; the defaults are the published ones, used on every dataset."""

    brightness: float = 1.0  # width of the interval around 0 that is added to every pixel
    saturation: float = 2.0  # largest factor on the distance to the channel mean; smallest is 0
    contrast: float = 0.5  # smallest factor on the distance to the image mean; largest is 1 more
    crop: float = 0.125  # largest shift, as a fraction of the side
    cutout: float = 0.5  # side of the blank window, as a fraction of the side
    flip: float = 0.5  # probability of mirroring left and right
    scale: float = 1.2  # largest factor on the sampling grid; smallest is its inverse
    rotate: float = 15.0  # largest angle, degrees


PUBLISHED = DSAParams()


@dataclass(frozen=True, slots=True)
class DSADraw:
    """What one call does to its images: a family for all of them, a row of parameters for each.

    Shapes: values_NQ, float64, one row per image, or a single row for all when siamese.
    The family is None when the strategy is empty: the identity.
    """

    family: AugmentationFamily | None
    values_NQ: Tensor
    height: int
    width: int
    siamese: bool

    def rows(self, indices: Tensor | slice) -> "DSADraw":
        """The draw of some of the images, for a micro-batch; a siamese draw stays as it is."""
        if self.siamese:
            return self
        where = indices.to(self.values_NQ.device) if isinstance(indices, Tensor) else indices
        return replace(self, values_NQ=self.values_NQ[where])

    def to(self, device: torch.device | str) -> "DSADraw":
        """The same draw with its parameters on a device, so that `apply` there copies nothing."""
        return replace(self, values_NQ=self.values_NQ.to(device))


def parse_strategy(strategy: str) -> tuple[AugmentationFamily, ...]:
    """The families of a strategy written as the papers do: `color_crop_flip`; `none` is the empty one.

    Raises: UserError for an unknown family, or one that is named twice (it would be drawn twice as often).
    """
    if strategy == "none":
        return ()
    known: dict[str, AugmentationFamily] = {family: family for family in FAMILIES}
    names = strategy.split("_")
    for name in names:
        if name not in known or names.count(name) > 1:
            problem = "is named twice" if name in known else "is not an augmentation family"
            raise UserError(
                f"{name!r} {problem}",
                where=f"augmentation strategy {strategy!r}",
                remedy=f"join some of {', '.join(FAMILIES)} by underscores, each once, or use none",
            )
    return tuple(known[name] for name in names)


def draw(
    strategy: tuple[AugmentationFamily, ...],
    *,
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    siamese: bool,
    params: DSAParams = PUBLISHED,
) -> DSADraw:
    """Draw one family, uniformly, and its parameters: independently for each image, or once if siamese.

    Takes the same amount of numbers from the generator whatever family comes out.
    Source: DSA, arXiv:2102.08259, section 3; one family a call is mode "S" of its released code.
    """
    count = 1 if siamese else batch
    if not strategy:
        return DSADraw(None, torch.zeros(count, 0, dtype=torch.float64), height, width, siamese)
    family = strategy[int(torch.randint(len(strategy), (1,), generator=generator))]
    uniform_N3 = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return DSADraw(family, _family_parameters(family, uniform_N3, (height, width), params), height, width, siamese)


def apply(x_NCHW: Tensor, draw: DSADraw) -> Tensor:
    """The augmented images: a new tensor of the same shape, dtype and device; x is left alone.

    Arithmetic is in the dtype of x, but never narrower than float32. Nothing is clamped: images are
    standardised or whitened, so the zero fill is the mean colour. On one channel saturation changes nothing.
    Raises: ValueError if x is not what the draw was made for (another size, another number of images).
    """
    if draw.family is None:
        return x_NCHW
    images, _, height, width = x_NCHW.shape
    rows = len(draw.values_NQ)
    if (height, width) != (draw.height, draw.width) or (rows != images and not draw.siamese):
        raise ValueError(
            f"draw for {rows} images of {draw.height}x{draw.width} applied to {images} of {height}x{width}"
        )
    if not x_NCHW.is_floating_point():
        raise ValueError(f"augmentation needs floating point images, not {x_NCHW.dtype}")
    dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
    values_NQ = draw.values_NQ.to(device=x_NCHW.device, dtype=dtype)
    return _OPERATIONS[draw.family](x_NCHW.to(dtype), values_NQ).to(x_NCHW.dtype)


def _family_parameters(
    family: AugmentationFamily, uniform_N3: Tensor, size: tuple[int, int], params: DSAParams
) -> Tensor:
    """Turn uniform numbers into the parameters of a family; trigonometry stays on the CPU with the draw."""
    u, v, w = uniform_N3.unbind(1)
    zero = torch.zeros_like(u)
    if family == "color":
        columns = [(u - 0.5) * params.brightness, v * params.saturation, w + params.contrast]
    elif family == "crop":
        columns = [_shift(u, size[0], params.crop), _shift(v, size[1], params.crop)]
    elif family == "cutout":
        columns = [*_window(u, size[0], params.cutout), *_window(v, size[1], params.cutout)]
    elif family == "flip":
        columns = [(u < params.flip).to(u.dtype)]
    elif family == "scale":
        low, high = 1.0 / params.scale, params.scale
        columns = [low + (high - low) * u, zero, zero, low + (high - low) * v]
    else:
        angle = (2.0 * u - 1.0) * math.radians(params.rotate)
        columns = [angle.cos(), -angle.sin(), angle.sin(), angle.cos()]
    return torch.stack(columns, dim=1)


def _shift(u_N: Tensor, side: int, ratio: float) -> Tensor:
    """A whole number of pixels between -r and r, r the rounded fraction of the side."""
    reach = int(side * ratio + 0.5)
    return (u_N * (2 * reach + 1)).floor() - reach


def _window(u_N: Tensor, side: int, ratio: float) -> tuple[Tensor, Tensor]:
    """Where a window cut at the borders starts and stops; one of even length may be centred past the end."""
    length = int(side * ratio + 0.5)
    first = (u_N * (side + 1 - length % 2)).floor() - length // 2
    return first.clamp(0, side), (first + length).clamp(0, side)


def _color(x_NCHW: Tensor, values_NQ: Tensor) -> Tensor:
    from kornia.enhance import adjust_brightness

    brightness, saturation, contrast = values_NQ[..., None, None, None].unbind(1)
    bright_NCHW: Tensor = adjust_brightness(x_NCHW, brightness, clip_output=False)
    gray_N1HW = bright_NCHW.mean(dim=1, keepdim=True)
    vivid_NCHW = (bright_NCHW - gray_N1HW) * saturation + gray_N1HW
    level_N111 = vivid_NCHW.mean(dim=(1, 2, 3), keepdim=True)
    return (vivid_NCHW - level_N111) * contrast + level_N111


def _crop(x_NCHW: Tensor, values_NQ: Tensor) -> Tensor:
    down, right = values_NQ.long()[..., None, None].unbind(1)
    row_HW, column_HW = _positions(x_NCHW, torch.int64)
    return _gather_pixels(x_NCHW, row_HW + down, column_HW + right)


def _cutout(x_NCHW: Tensor, values_NQ: Tensor) -> Tensor:
    top, bottom, left, right = values_NQ[..., None, None].unbind(1)
    row_HW, column_HW = _positions(x_NCHW, values_NQ.dtype)
    blank_NHW = (row_HW >= top) & (row_HW < bottom) & (column_HW >= left) & (column_HW < right)
    return x_NCHW.masked_fill(blank_NHW[:, None], 0.0)


def _flip(x_NCHW: Tensor, values_NQ: Tensor) -> Tensor:
    from kornia.geometry.transform import hflip

    return torch.where(values_NQ[..., None, None] > 0.5, hflip(x_NCHW), x_NCHW)


def _warp(x_NCHW: Tensor, values_NQ: Tensor) -> Tensor:
    """Bilinear sampling where a 2x2 matrix sends each pixel; zeros outside, align_corners=True.

    Coordinates are pixels from the centre, not fractions of the side: the identity matrix is then exact.
    """
    xx, xy, yx, yy = values_NQ[..., None, None].unbind(1)
    row_HW, column_HW = _positions(x_NCHW, values_NQ.dtype)
    half_h, half_w = (x_NCHW.shape[2] - 1) / 2, (x_NCHW.shape[3] - 1) / 2
    down_HW, right_HW = row_HW - half_h, column_HW - half_w
    # the matrix acts on fractions of the half sides; where a side is one pixel, that pixel is the centre
    row_NHW = yy * down_HW + yx * (half_h / max(half_w, 0.5)) * right_HW + half_h
    column_NHW = xx * right_HW + xy * (half_w / max(half_h, 0.5)) * down_HW + half_w
    top_NHW, left_NHW = row_NHW.floor(), column_NHW.floor()
    lower, righter = row_NHW - top_NHW, column_NHW - left_NHW
    result_NCHW = torch.zeros_like(x_NCHW)
    for row_step, row_weight in ((0, 1 - lower), (1, lower)):
        for column_step, column_weight in ((0, 1 - righter), (1, righter)):
            corner_NCHW = _gather_pixels(x_NCHW, top_NHW.long() + row_step, left_NHW.long() + column_step)
            result_NCHW = result_NCHW + corner_NCHW * (row_weight * column_weight)[:, None]
    return result_NCHW


def _positions(x_NCHW: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The row number of every pixel, as (H, 1), and the column number, as (1, W)."""
    height, width = x_NCHW.shape[2:]
    row_H = torch.arange(height, device=x_NCHW.device, dtype=dtype)
    column_W = torch.arange(width, device=x_NCHW.device, dtype=dtype)
    return row_H[:, None], column_W[None, :]


def _gather_pixels(x_NCHW: Tensor, row_NHW: Tensor, column_NHW: Tensor) -> Tensor:
    """The pixels at whole positions, zero outside; positions of one image serve all.

    `gather`, because its backward pass is deterministic: on the CPU always, on CUDA under
    `torch.use_deterministic_algorithms`.
    """
    images, channels, height, width = x_NCHW.shape
    inside_NHW = (row_NHW >= 0) & (row_NHW < height) & (column_NHW >= 0) & (column_NHW < width)
    flat_NHW = row_NHW.clamp(0, height - 1) * width + column_NHW.clamp(0, width - 1)
    flat_NCL = flat_NHW.flatten(1)[:, None].expand(images, channels, -1)
    picked_NCHW = x_NCHW.flatten(2).gather(2, flat_NCL).view(x_NCHW.shape)
    return picked_NCHW.masked_fill(~inside_NHW[:, None], 0.0)


_OPERATIONS: dict[AugmentationFamily, Callable[[Tensor, Tensor], Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _warp,
    "rotate": _warp,
}
