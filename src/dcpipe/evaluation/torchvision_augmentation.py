"""Augmentations of torchvision for networks that are tested: mixup, CutMix, AutoAugment and RandAugment.

torchvision draws from PyTorch's global generator. Here it draws from the generator that it is given: the global one is
put aside meanwhile, and is afterwards where it was.

Mixup and CutMix pair each image with the one before it in the batch, which is in random order. Both mix the labels.

AutoAugment and RandAugment are defined for pixels between 0 and 1, and networks here see standardised or whitened
numbers, which distillation also moves beyond the range of pixels. So each image is brought to that range by its own
smallest and largest number, transformed, and brought back. What a shift leaves open has the image's smallest number.

Source: mixup, arXiv:1710.09412; CutMix, arXiv:1905.04899; AutoAugment, arXiv:1805.09501; RandAugment, arXiv:1909.13719.

Legend: B images of a batch, C channels, H W pixels, K classes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import v2

from dcpipe.evaluation.batch_augmentation import Augment, Batch


@contextmanager
def global_draws_from(draws: torch.Generator) -> Iterator[None]:
    """Inside, PyTorch's global CPU generator goes on from `draws`; afterwards `draws` goes on from there."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(draws.get_state())
        yield
        draws.set_state(torch.get_rng_state())


def wrap_batch_transform(transform: Callable[[Tensor, Tensor], Batch]) -> Augment:
    """Mixup or CutMix. Labels are probabilities (B x K)."""

    def augment(images_BCHW: Tensor, labels_BK: Tensor, draws: torch.Generator) -> Batch:
        with global_draws_from(draws):
            return transform(images_BCHW, labels_BK)

    return augment


def wrap_image_transform(transform: Callable[[Tensor], Tensor]) -> Augment:
    """AutoAugment or RandAugment, image by image, on the CPU: devices agree on what comes out."""

    def augment(images_BCHW: Tensor, labels_B: Tensor, draws: torch.Generator) -> Batch:
        with global_draws_from(draws):
            images = [in_own_range(image_CHW, transform) for image_CHW in images_BCHW.detach().cpu()]
        return torch.stack(images).to(images_BCHW), labels_B

    return augment


def in_own_range(image_CHW: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """A transform of pixels between 0 and 1, done to an image in any range; an image of one colour stays as it is."""
    low, high = image_CHW.aminmax()
    if low == high:
        return image_CHW
    return transform((image_CHW - low) / (high - low)) * (high - low) + low


def mixup(alpha: float) -> Augment:
    """Each image and label mixed with the one before it, by a weight of Beta(alpha, alpha) for the batch."""
    return wrap_batch_transform(v2.MixUp(alpha=alpha))


def cutmix(alpha: float) -> Augment:
    """A window of each image cut out of the one before it, of a share of Beta(alpha, alpha) of the area; labels follow.

    A window that goes beyond the border is cut there, and labels are mixed by the area that is left.
    """
    return wrap_batch_transform(v2.CutMix(alpha=alpha))


def auto_augment(policy: str) -> Augment:
    """One of the 25 pairs of operations of a learned policy for each image."""
    return wrap_image_transform(v2.AutoAugment(v2.AutoAugmentPolicy(policy)))


def rand_augment(operations: int, magnitude: int) -> Augment:
    """So many of 14 operations for each image, all at one magnitude of 0 to 30."""
    return wrap_image_transform(v2.RandAugment(operations, magnitude))
