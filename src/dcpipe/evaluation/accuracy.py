"""Top-1 accuracy."""

from types import MappingProxyType

import torch
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.models.flat import FlatModel, Statistics

BATCH = 1024
NONE: Statistics = MappingProxyType({})


@torch.no_grad()
def accuracy(model: FlatModel, theta_P: Tensor, images: Images, statistics: Statistics | None = NONE) -> float:
    """The share of images whose label is predicted, in percent; no augmentation.

    `statistics` are the running ones that batch norms use; None lets them use those of each batch of 1,024.
    Raises: ValueError if they are not this network's.
    """
    right = torch.zeros((), dtype=torch.int64, device=images.labels_N.device)
    for start in range(0, len(images.labels_N), BATCH):
        rows = slice(start, start + BATCH)
        right += (model(theta_P, images.images_NCHW[rows], statistics).argmax(dim=1) == images.labels_N[rows]).sum()
    return 100.0 * int(right) / len(images.labels_N)
