"""Images and labels as a person has them, checked and brought into one form before anything is computed.

Legend: N images, C channels, H W pixels, K classes.
"""

import hashlib
import logging
import operator
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dcpipe.errors import UserError
from dcpipe.progress import track

MIN_SIDE = 4  # pixels
ROUNDING = 1e-3  # of a grey level: floats that are nearer to a whole one lose nothing as bytes

log = logging.getLogger("dcpipe")

ImagesLike = Tensor | NDArray[np.generic] | Dataset[tuple[object, SupportsIndex]]
LabelsLike = Tensor | NDArray[np.generic] | Sequence[int]


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Square images (N x C x H x H, uint8) and their labels (N, int64), of K classes that all occur."""

    pixels_NCHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    classes: int

    @property
    def channels(self) -> int:
        """C."""
        return int(self.pixels_NCHW.shape[1])

    @property
    def image_size(self) -> int:
        """H."""
        return int(self.pixels_NCHW.shape[2])

    @property
    def counts(self) -> list[int]:
        """How many images each class has."""
        return [int(count) for count in np.bincount(self.labels_N, minlength=self.classes)]

    @property
    def digest(self) -> str:
        """SHA-256 of shapes, pixels and labels, 64 hex digits."""
        hasher = hashlib.sha256(f"{self.pixels_NCHW.shape}".encode())
        hasher.update(np.ascontiguousarray(self.pixels_NCHW).tobytes())
        hasher.update(self.labels_N.astype("<i8").tobytes())
        return hasher.hexdigest()


def labelled_images(images: ImagesLike, labels: LabelsLike | None, *, argument: str = "images") -> LabelledImages:
    """Images and labels in one form.

    Args:
        images: uint8, or floating in [0, 1]: N x C x H x W with C of 1 or 3, N x H x W, or an array N x H x W x C; or a
            torch Dataset of (image, label).
        labels: N whole numbers 0 .. K-1; None for a Dataset.
        argument: what messages call the images.

    Raises: UserError for another shape or type, values that are not finite or out of range, labels that do not fit, a
        class without an image, or fewer than two classes.
    """
    if isinstance(images, Dataset) and labels is None:
        images, labels = _read_dataset(images, argument)
    if labels is None:
        raise UserError("have no labels", where=argument, remedy=f"pass both: ({argument}, labels)")
    if isinstance(images, Dataset):
        raise UserError("a torch Dataset has its own labels", where=argument, remedy="pass the Dataset alone")
    pixels_NCHW = as_uint8_images(images, argument)
    labels_N = as_class_labels(
        labels, len(pixels_NCHW), f"labels of the {argument}" if argument != "images" else "labels"
    )
    return LabelledImages(pixels_NCHW, labels_N, int(labels_N.max()) + 1)


def as_uint8_images(images: ImagesLike, argument: str) -> NDArray[np.uint8]:
    """Square images (N x C x H x H, uint8). Raises: UserError as `labelled_images`."""
    if not isinstance(images, Tensor | np.ndarray):
        problem = f"are {_type_name(images)}"
        raise UserError(problem, where=argument, remedy="pass a tensor or an array, N x C x H x W, or a torch Dataset")
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
    shaped = _channels_first(array, argument)
    if shaped.dtype == np.uint8:
        return np.ascontiguousarray(shaped)
    if np.issubdtype(shaped.dtype, np.floating):
        return _bytes(shaped, argument)
    raise UserError(f"are {shaped.dtype}", where=argument, remedy="pass uint8, or floating point numbers in [0, 1]")


def _type_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _channels_first(array: NDArray[np.generic], argument: str) -> NDArray[np.generic]:
    if 0 in array.shape:
        raise UserError(
            f"have the shape {_shape_text(array.shape)}, which holds no image",
            where=argument,
            remedy="pass some images",
        )
    shaped = array[:, None] if array.ndim == 3 else array
    if shaped.ndim == 4 and shaped.shape[1] not in (1, 3) and shaped.shape[3] in (1, 3):
        shaped = shaped.transpose(0, 3, 1, 2)
    if shaped.ndim != 4 or shaped.shape[1] not in (1, 3):
        remedy = "pass N x C x H x W with 1 channel (grey) or 3 (colour)"
        raise UserError(f"have the shape {_shape_text(array.shape)}", where=argument, remedy=remedy)
    height, width = shaped.shape[2:]
    if height != width:
        raise UserError(f"are {height} x {width} pixels", where=argument, remedy="crop or pad them to squares")
    if height < MIN_SIDE:
        problem = f"are {height} x {width} pixels"
        raise UserError(problem, where=argument, remedy=f"pass images of {MIN_SIDE} x {MIN_SIDE} pixels or more")
    return shaped


def _bytes(array: NDArray[np.generic], argument: str) -> NDArray[np.uint8]:
    values = array.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(np.flatnonzero(bad.any(axis=(1, 2, 3)))[0])
        problem = f"have {int(bad.sum())} values that are NaN or infinite, the first in image {first}"
        raise UserError(problem, where=argument, remedy="remove or repair these images")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        problem = f"have values from {low:.4g} to {high:.4g}"
        remedy = "pass floating point numbers in [0, 1], not standardised, or uint8"
        raise UserError(problem, where=argument, remedy=remedy)
    levels = np.rint(255 * values)
    if np.abs(levels - 255 * values).max() > ROUNDING:
        log.info("%s: rounded to 8 bits a channel", argument)
    return levels.astype(np.uint8)


def as_class_labels(labels: LabelsLike, count: int, argument: str) -> NDArray[np.int64]:
    found = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.ndim == 2:
        remedy = "pass one class per image: labels.argmax(1) of one-hot or soft labels"
        raise UserError(f"have the shape {_shape_text(found.shape)}; images: {count}", where=argument, remedy=remedy)
    if found.ndim != 1 or len(found) != count:
        shape = _shape_text(found.shape) or "one number"
        raise UserError(f"are {shape}; there are {count} images", where=argument, remedy="pass one label per image")
    if not np.issubdtype(found.dtype, np.integer):
        raise UserError(f"are {found.dtype}", where=argument, remedy="pass whole numbers, from 0")
    _refuse_classes(found.astype(np.int64), argument)
    return found.astype(np.int64)


def _refuse_classes(labels_N: NDArray[np.int64], argument: str) -> None:
    low, high = int(labels_N.min()), int(labels_N.max())
    present = np.unique(labels_N)
    if len(present) < 2:
        problem = f"are all {low}; distillation needs two classes or more"
        raise UserError(problem, where=argument, remedy="pass images of several classes")
    if low < 0:
        raise UserError(f"go from {low} to {high}", where=argument, remedy="number the classes from 0")
    if len(present) <= high:
        missing = int(np.flatnonzero(present != np.arange(len(present)))[0])
        problem = f"go from {low} to {high}, and no image has the label {missing}"
        remedy = "number the classes from 0 without a gap: numpy.unique(labels, return_inverse=True)[1]"
        raise UserError(problem, where=argument, remedy=remedy)


def _read_dataset(dataset: Dataset[tuple[object, SupportsIndex]], argument: str) -> tuple[Tensor, list[int]]:
    """The items of a Dataset as one tensor, and their labels."""
    count = len(dataset) if isinstance(dataset, Sized) else 0
    images, labels = list[Tensor](), list[int]()
    for index in track(range(count), f"reading the {argument}"):
        image, label = dataset[index]
        images.append(_item(image, index, argument))
        labels.append(operator.index(label))
    if not images:
        raise UserError("hold no image", where=argument, remedy="pass a Dataset of (image, label) with a length")
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        some = " and ".join(_shape_text(shape) for shape in sorted(shapes)[:2])
        raise UserError(
            f"differ in size ({some})", where=argument, remedy="add a transform that resizes and crops them"
        )
    return torch.stack(images), labels


def _item(image: object, index: int, argument: str) -> Tensor:
    """One item of a Dataset, channels first: a tensor, an array or a PIL image."""
    if isinstance(image, Tensor):
        return image
    array = np.asarray(image)
    if array.dtype == object or array.ndim not in (2, 3):
        problem = f"item {index} is {_type_name(image)}"
        raise UserError(problem, where=argument, remedy="make the Dataset return tensors, arrays or PIL images")
    return torch.from_numpy(np.array(array if array.ndim == 2 else array.transpose(2, 0, 1)))


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
