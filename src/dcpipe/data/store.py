"""A dataset on disk: raw uint8 images and labels in Zarr; standardised when loaded.

`train.zarr` holds the groups train and, where the dataset has one, val, and the standardisation measured on or
published for train. `test.zarr` is an artifact of its own, so that the graph itself shows that evaluation alone
opens it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from dcpipe import arrays
from dcpipe.errors import UserError

CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Mean and standard deviation a channel, of pixels in [0, 1]."""

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


def measure(images_NCHW: NDArray[np.uint8]) -> Standardisation:
    """Mean and standard deviation a channel in float64, from exact integer sums (any order gives the same)."""
    count = images_NCHW.shape[0] * images_NCHW.shape[2] * images_NCHW.shape[3]
    wide = images_NCHW.astype(np.int64)
    sums, squares = wide.sum(axis=(0, 2, 3)), (wide * wide).sum(axis=(0, 2, 3))
    mean = sums / count
    variance = squares / count - mean * mean
    return Standardisation(tuple(map(float, mean / 255.0)), tuple(map(float, np.sqrt(variance) / 255.0)))


def create(path: Path, *, classes: int, standardisation: Standardisation) -> None:
    """An empty store with its facts."""
    attributes = {
        "classes": classes,
        "mean": list(standardisation.mean_C),
        "std": list(standardisation.std_C),
    }
    zarr.create_group(str(path), zarr_format=3, attributes=attributes)


def write(path: Path, part: str, images_NCHW: NDArray[np.uint8], labels_N: NDArray[np.int64]) -> None:
    """Add a part (train, val or test)."""
    zarr.create_group(str(path / part), zarr_format=3)
    row_bytes = int(np.prod(images_NCHW.shape[1:]))
    arrays.write_rows(path / part, "images", images_NCHW, chunk_rows=max(1, CHUNK_BYTES // row_bytes))
    arrays.write_rows(path / part, "labels", labels_N, chunk_rows=CHUNK_BYTES // 8)


def standardisation(path: Path) -> Standardisation:
    """What a store's images are standardised by."""
    attributes = zarr.open_group(str(path), mode="r").attrs
    mean, std = attributes["mean"], attributes["std"]
    assert isinstance(mean, list)  # noqa: S101 (written by create)
    assert isinstance(std, list)  # noqa: S101 (written by create)
    return Standardisation(tuple(map(float, mean)), tuple(map(float, std)))


def load(path: Path, part: Literal["train", "val", "test"], device: torch.device | None = None) -> Images:
    """A part, standardised, on a device.

    Raises: UserError if the dataset has no such part; CorruptArtifactError if a chunk differs from what was written.
    """
    if not (path / part).is_dir():
        raise UserError(f"has no {part} part", where=str(path), remedy="use a dataset variant that has one")
    pixels = torch.from_numpy(arrays.read(path / part, "images")).to(device)
    labels = torch.from_numpy(arrays.read(path / part, "labels")).to(device)
    classes = int(str(zarr.open_group(str(path), mode="r").attrs["classes"]))
    return Images(standardisation(path).apply(pixels), labels, classes)
