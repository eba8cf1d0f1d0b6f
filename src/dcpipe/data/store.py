"""A dataset on disk: raw uint8 images and labels in Zarr; standardised when loaded.

`train.zarr` holds the groups train and, where the dataset has one, val, and the standardisation measured on or
published for train. `test.zarr` is an artifact of its own, so that the graph itself shows that evaluation alone
opens it. A part is written a shard at a time, so that preparing needs memory for one shard, whatever its length.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from dcpipe.data import arrays, whitening
from dcpipe.data.whitening import Whitening
from dcpipe.errors import UserError
from dcpipe.progress import track

CHUNK_BYTES = 2**20
SHARD_BYTES = 2**26
BLOCK_ROWS = 1024  # standardised at a time

Part = Literal["train", "val", "test"]
ReadImages = Callable[[int, int], NDArray[np.uint8]]
"""(first row, row after the last) of a part -> images (n x C x H x W)."""


class Transform(Protocol):
    """From stored pixels to what networks see, and back for people to look at."""

    def apply(self, pixels_NCHW: Tensor) -> Tensor:
        """float32 images from uint8 pixels."""
        ...

    def invert(self, images_NCHW: Tensor) -> Tensor:
        """Pixels in units of [0, 1] (not clipped) from such images."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What `apply` needs, float64, as a release writes it."""
        ...

    @property
    def description(self) -> str:
        """What the images are, as text for people."""
        ...


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]

    def apply(self, pixels_NCHW: Tensor) -> Tensor:
        """float32 images of zero mean and unit deviation from uint8 pixels."""
        mean = torch.tensor(self.mean_C, dtype=torch.float32, device=pixels_NCHW.device)[:, None, None]
        std = torch.tensor(self.std_C, dtype=torch.float32, device=pixels_NCHW.device)[:, None, None]
        return (pixels_NCHW.float() / 255.0 - mean) / std

    def invert(self, images_NCHW: Tensor) -> Tensor:
        """Pixels in units of [0, 1] (not clipped) from standardised images."""
        mean = torch.tensor(self.mean_C, dtype=images_NCHW.dtype, device=images_NCHW.device)[:, None, None]
        std = torch.tensor(self.std_C, dtype=images_NCHW.dtype, device=images_NCHW.device)[:, None, None]
        return images_NCHW * std + mean

    def tensors(self) -> dict[str, Tensor]:
        """`mean` and `std` of each channel (C, float64)."""
        return {
            "mean": torch.tensor(self.mean_C, dtype=torch.float64),
            "std": torch.tensor(self.std_C, dtype=torch.float64),
        }

    @property
    def description(self) -> str:
        """What the images are, as text for people."""
        return "standardised"


@dataclass(frozen=True, slots=True)
class WhiteningTransform:
    """ZCA whitening of pixels in [0, 1]; no standardisation beside it, as in the MTT family."""

    whitening: Whitening

    def apply(self, pixels_NCHW: Tensor) -> Tensor:
        """float32 whitened images from uint8 pixels."""
        return whitening.apply(self.whitening, pixels_NCHW.float() / 255.0)

    def invert(self, images_NCHW: Tensor) -> Tensor:
        """Pixels in units of [0, 1] (not clipped) from whitened images."""
        return whitening.invert(self.whitening, images_NCHW)

    def tensors(self) -> dict[str, Tensor]:
        """`mean` (D) and `matrix` (D x D) of the whitening, float64."""
        return {"mean": self.whitening.mean_D.contiguous(), "matrix": self.whitening.matrix_DD.contiguous()}

    @property
    def description(self) -> str:
        """What the images are, as text for people."""
        return "whitened by ZCA"


@dataclass(frozen=True, slots=True)
class Images:
    """One part of a dataset, standardised: images (N x C x H x W, float32) and labels (N, int64)."""

    images_NCHW: Tensor
    labels_N: Tensor
    classes: int

    @property
    def channels(self) -> int:
        """C."""
        return int(self.images_NCHW.shape[1])

    @property
    def size(self) -> int:
        """H, which is also W."""
        return int(self.images_NCHW.shape[2])

    def evenly_spaced(self, most: int) -> "Images":
        """At most so many of them, spread evenly over the whole; itself where it has no more."""
        count = len(self.labels_N)
        if count <= most:
            return self
        rows = torch.arange(most, device=self.labels_N.device) * count // most
        return Images(self.images_NCHW[rows], self.labels_N[rows], self.classes)


@dataclass(slots=True)
class Moments:
    """Exact sums a channel of pixels and of their squares: any order and any blocks give the same bits."""

    count: int
    sums_C: NDArray[np.int64]
    squares_C: NDArray[np.int64]

    @classmethod
    def zero(cls, channels: int) -> "Moments":
        """Of no pixels."""
        return cls(0, np.zeros(channels, dtype=np.int64), np.zeros(channels, dtype=np.int64))

    def add(self, images_NCHW: NDArray[np.uint8]) -> None:
        """Count more images (by how often each of the 256 values occurs: no wide copy of the images)."""
        values = np.arange(256, dtype=np.int64)
        self.count += images_NCHW.size // images_NCHW.shape[1]
        few = max(1, CHUNK_BYTES // images_NCHW[0].size)
        for start in range(0, len(images_NCHW), few):
            for channel in range(len(self.sums_C)):
                often = np.bincount(images_NCHW[start : start + few, channel].ravel(), minlength=256)
                self.sums_C[channel] += often @ values
                self.squares_C[channel] += often @ (values * values)

    def standardisation(self) -> Standardisation:
        """Mean and standard deviation per channel, in float64; a channel that never varies has exactly 0."""
        mean = self.sums_C / self.count
        variance = self.squares_C / self.count - mean * mean
        exact = zip(self.squares_C.tolist(), self.sums_C.tolist(), strict=True)  # as integers of any length
        variance[[self.count * squares == sums * sums for squares, sums in exact]] = 0.0
        return Standardisation(tuple(map(float, mean / 255.0)), tuple(map(float, np.sqrt(variance) / 255.0)))


def write(
    path: Path,
    part: Part,
    labels_N: NDArray[np.int64],
    shape_CHW: tuple[int, int, int],
    read: ReadImages,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> Moments:
    """Write a part (train, val or test) shard by shard. Returns the moments of its pixels."""
    zarr.create_group(str(path / part), zarr_format=3)
    count, row_bytes = len(labels_N), int(np.prod(shape_CHW))
    chunk = min(max(1, CHUNK_BYTES // row_bytes), count)
    shard = chunk * min(-(-count // chunk), max(1, shard_bytes // (chunk * row_bytes)))
    array = arrays.create(
        path / part, "images", (count, *shape_CHW), "uint8", chunks=(chunk, *shape_CHW), shards=(shard, *shape_CHW)
    )
    moments = Moments.zero(shape_CHW[0])
    for start in track(range(0, count, shard), f"{part} images"):
        stop = min(start + shard, count)
        images = read(start, stop)
        moments.add(images)
        array[start:stop] = images
    arrays.write_rows(path / part, "labels", labels_N, chunk_rows=CHUNK_BYTES // 8)
    return moments


def write_attributes(path: Path, *, classes: int, standardisation: Standardisation) -> None:
    """Write the number of classes and the standardisation of a store, which make it complete."""
    attributes = {
        "classes": classes,
        "mean": list(standardisation.mean_C),
        "std": list(standardisation.std_C),
    }
    zarr.create_group(str(path), zarr_format=3, attributes=attributes)


def standardisation(path: Path) -> Standardisation:
    """Mean and standard deviation of a store's images."""
    attributes = arrays.attributes(path)
    return Standardisation(tuple(attributes["mean"].numbers()), tuple(attributes["std"].numbers()))


def num_classes(path: Path) -> int:
    """The number of classes of a store."""
    return arrays.attributes(path)["classes"].integer()


@dataclass(frozen=True, slots=True)
class Pixels:
    """One part as it is stored: uint8 images (N x C x H x W) and labels (N, int64), standardised when asked for.

    A fourth of the memory of `Images`; for sets that do not fit as float32.
    """

    pixels_NCHW: Tensor
    labels_N: Tensor
    classes: int
    transform: Transform

    def images(self, rows: Tensor | slice) -> Tensor:
        """Some images, standardised (n x C x H x W, float32)."""
        return self.transform.apply(self.pixels_NCHW[rows])

    def standardised(self) -> Images:
        """All of them; the same bits, with one block of temporaries."""
        count = len(self.pixels_NCHW)
        images = torch.empty(self.pixels_NCHW.shape, dtype=torch.float32, device=self.pixels_NCHW.device)
        for start in range(0, count, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, count))
            images[rows] = self.images(rows)
        return Images(images, self.labels_N, self.classes)


def load_transform(path: Path, whitened_by: Path | None = None) -> Transform:
    """What networks see of a store: whitened where the dataset has a whitening, else standardised."""
    return standardisation(path) if whitened_by is None else WhiteningTransform(whitening.load(whitened_by))


def load_pixels(path: Path, part: Part, device: torch.device | None = None, whitened_by: Path | None = None) -> Pixels:
    """A part as it is stored, on a device.

    Raises: UserError if the dataset has no such part; CorruptArtifactError if a chunk differs from what was written.
    """
    if not (path / part).is_dir():
        remedy = "name a dataset that has one"
        if part == "val":
            remedy = "name a dataset whose split.validation_per_class is above 0"
        raise UserError(f"holds no {part} images", where=str(path), remedy=remedy)
    pixels = torch.from_numpy(arrays.read(path / part, "images")).to(device)
    labels = torch.from_numpy(arrays.read(path / part, "labels")).to(device)
    return Pixels(pixels, labels, num_classes(path), load_transform(path, whitened_by))


def load(path: Path, part: Part, device: torch.device | None = None, whitened_by: Path | None = None) -> Images:
    """A part, standardised or whitened, on a device.

    Raises: UserError if the dataset has no such part; CorruptArtifactError if a chunk differs from what was written.
    """
    return load_pixels(path, part, device, whitened_by).standardised()
