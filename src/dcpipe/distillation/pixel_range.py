"""How far the images of a set are from a picture, whose pixels are from 0 (black) to 1 (white)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FAR = 100.0  # pictures' ranges; sets that are any good stay within about ten
PixelRange = tuple[float, float]


def pixel_range(pixels_NCHW: "Tensor") -> PixelRange:
    """The lowest and the highest pixel."""
    low, high = pixels_NCHW.aminmax()
    return float(low), float(high)


def is_far_out_of_range(pixels: PixelRange) -> bool:
    """Whether a pixel is further from black or white than 100 times their difference, or no number."""
    low, high = pixels
    return not (low >= -FAR and high <= 1 + FAR)


def describe_range(pixels: PixelRange) -> str:
    """The range for people."""
    return f"pixels from {pixels[0]:.3g} to {pixels[1]:.3g}, where black is 0 and white is 1"
