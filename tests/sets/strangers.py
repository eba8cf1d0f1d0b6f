"""Sets as plain torch code elsewhere would write them."""

from pathlib import Path

import torch
from torch import Tensor

from dcpipe.data import store


def train(root: Path, dataset: str) -> store.Images:
    """The training images as networks see them."""
    whitening = root / f"artifacts/whitening/{dataset}/whitening.zarr"
    whitened_by = whitening if whitening.is_dir() else None
    return store.load(root / f"artifacts/data/{dataset}/train.zarr", "train", whitened_by=whitened_by)


def some_images(root: Path, dataset: str = "tiny", a_class: int = 2) -> tuple[Tensor, Tensor]:
    """The first training images of each class, sorted by class, and their labels."""
    images = train(root, dataset)
    rows = torch.cat([torch.nonzero(images.labels_N == label).flatten()[:a_class] for label in range(images.classes)])
    return images.images_NCHW[rows].clone(), images.labels_N[rows].clone()
