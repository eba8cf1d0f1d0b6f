"""What an augmentation does to a batch of a synthetic set: nothing, or DSA's families.

Legend: B images of a batch, C channels, H W pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.augment import AugmentationFamily

Batch = tuple[Tensor, Tensor]
"""Images (B x C x H x W) and labels: classes (B), or probabilities (B x K)."""
Augment = Callable[[Tensor, Tensor, torch.Generator], Batch]
"""Images and labels of a batch, and a generator on the CPU -> the batch as a network sees it."""


def unaltered(images_BCHW: Tensor, labels_B: Tensor, _draws: torch.Generator) -> Batch:
    """The very same tensors."""
    return images_BCHW, labels_B


def by_dsa(
    images_BCHW: Tensor, labels_B: Tensor, draws: torch.Generator, *, families: tuple[AugmentationFamily, ...]
) -> Batch:
    """One family for the batch, every image its own parameters; the labels as they are."""
    batch, _, height, width = images_BCHW.shape
    drawn = augment.draw(families, batch=batch, height=height, width=width, generator=draws, siamese=False)
    return augment.apply(images_BCHW, drawn), labels_B
