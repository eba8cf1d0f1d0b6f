"""Synthetic images for display: a PNG for each class, its images side by side.

Legend: N images, C channels, H W pixels, K classes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from dcpipe.data.store import Transform

CLASSES, COLUMNS = 20, 10  # shown of a set, at most
FAR, ADJUST_FROM = 0.5, 0.25  # contrast is adjusted if this share of values is so far below black or above white
DEVIATIONS = 2.5  # from an adjusted image's mean to black and to white


@dataclass(frozen=True, slots=True)
class Strip:
    """The shown images of one class, side by side, as a data: PNG."""

    label: int
    name: str  # of the class; the label itself where no name is known
    columns: int
    uri: str

    @property
    def title(self) -> str:
        """The class by number and, where it has one, name."""
        return f"class {self.label}" if self.name == str(self.label) else f"class {self.label}, {self.name}"


@dataclass(frozen=True, slots=True)
class SetPreview:
    """A synthetic set for display. `outside` is the share of pixel values that no screen can show.

    They are clipped; if many are far outside, little would be visible, so the contrast of each
    image is adjusted first: 2.5 deviations below its mean become black and 2.5 above it white.
    """

    strips: tuple[Strip, ...]
    size: int
    classes: int
    images: int
    low: float
    high: float
    outside: float
    is_contrast_adjusted: bool

    @property
    def columns(self) -> int:
        """The number of images in the longest strip."""
        return max(strip.columns for strip in self.strips)

    @property
    def shown(self) -> int:
        """How many of the images are shown."""
        return sum(strip.columns for strip in self.strips)


def picture(path: Path, transform: "Transform", budget: int, class_names: Sequence[str] = ()) -> SetPreview:
    """The pixels of a stored set, un-standardised, in at most `budget` pixels (one image at least)."""
    from dcpipe.distillation import synthetic_set

    stored = synthetic_set.load(path)
    pixels_NCHW = transform.invert(stored.images_NCHW.float())
    labels_N = stored.class_labels
    classes, affordable = sorted(set(labels_N.tolist())), max(1, budget // pixels_NCHW[0, 0].numel())
    rows = min(len(classes), CLASSES, affordable)
    columns = max(1, min(COLUMNS, affordable // rows))
    adjusted = _share_beyond(pixels_NCHW, FAR) > ADJUST_FROM
    shown_NCHW = _adjusted(pixels_NCHW) if adjusted else pixels_NCHW
    names = {label: class_names[label] if label < len(class_names) else str(label) for label in classes}
    return SetPreview(
        strips=tuple(_strip(label, names[label], shown_NCHW[labels_N == label][:columns]) for label in classes[:rows]),
        size=pixels_NCHW.shape[3],
        classes=len(classes),
        images=len(pixels_NCHW),
        low=float(pixels_NCHW.min()),
        high=float(pixels_NCHW.max()),
        outside=_share_beyond(pixels_NCHW, 0.0),
        is_contrast_adjusted=adjusted,
    )


def _share_beyond(pixels_NCHW: "Tensor", margin: float) -> float:
    return float(((pixels_NCHW < -margin) | (pixels_NCHW > 1 + margin)).float().mean())


def _adjusted(pixels_NCHW: "Tensor") -> "Tensor":
    mean_N111 = pixels_NCHW.mean((1, 2, 3), keepdim=True)
    deviation_N111 = pixels_NCHW.std((1, 2, 3), correction=0, keepdim=True)
    return (pixels_NCHW - mean_N111) / (2 * DEVIATIONS * deviation_N111.clamp(min=1e-12)) + 0.5


def _strip(label: int, name: str, pixels_NCHW: "Tensor") -> Strip:
    shown_NCHW = (pixels_NCHW.clamp(0, 1) * 255).round().byte()
    strip_HWC = shown_NCHW.permute(2, 0, 3, 1).flatten(1, 2)
    return Strip(label, name, len(shown_NCHW), _png(strip_HWC.numpy()))


def _png(strip_HWC: "NDArray[np.uint8]") -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(strip_HWC[:, :, 0] if strip_HWC.shape[2] == 1 else strip_HWC).save(
        file, format="PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
