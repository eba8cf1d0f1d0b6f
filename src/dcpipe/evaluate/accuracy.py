"""Top-1 accuracy."""

import torch
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.models.flat import FlatModel

BATCH = 1024


@torch.no_grad()
def accuracy(model: FlatModel, theta_P: Tensor, on: Images) -> float:
    """The share of images classified as their label, in percent; no augmentation."""
    right = torch.zeros((), dtype=torch.int64, device=on.labels_N.device)
    for start in range(0, len(on.labels_N), BATCH):
        rows = slice(start, start + BATCH)
        right += (model(theta_P, on.images_NCHW[rows]).argmax(dim=1) == on.labels_N[rows]).sum()
    return 100.0 * int(right) / len(on.labels_N)
