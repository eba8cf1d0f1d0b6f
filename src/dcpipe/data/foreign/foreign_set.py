"""A set that somebody else made, as its files hold it: nothing is converted and nothing guessed.

Legend: N images, C channels, H W pixels, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dcpipe.errors import UserError

PROBABILITY = 1e-3  # how far the sum of a row of probabilities may be from 1


@dataclass(frozen=True, slots=True)
class ForeignSet:
    """Images (N x C x H x W), labels (N, int64; or N x K, floating) and what else the files say.

    Images are pixels from 0 to 255 (uint8), or numbers as networks saw them (float32): standardised or whitened by
    somebody, which the files do not say. `step_size` is None where there is none. `claims` are other statements of the
    files, which nobody checked, `classes` the names of the classes, where they are known.
    """

    layout: str
    images_NCHW: Tensor
    labels: Tensor
    step_size: float | None = None
    classes: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)

    @property
    def are_pixels(self) -> bool:
        """Whether the images are pixels, which no whitening was applied to."""
        return self.images_NCHW.dtype == torch.uint8

    @property
    def is_soft(self) -> bool:
        """Whether an image has a number for each class."""
        return self.labels.is_floating_point()

    @property
    def are_probabilities(self) -> bool:
        """Whether soft labels are probabilities: no number below 0, and every row sums to 1. Else they are logits."""
        if not self.is_soft or bool((self.labels < 0).any()):
            return False
        return bool(((self.labels.double().sum(dim=1) - 1).abs() <= PROBABILITY).all())

    @property
    def logits_or_classes(self) -> Tensor:
        """Labels as sets here have them: classes (N), or logits (N x K, float32) whose softmax is the label."""
        if not self.is_soft:
            return self.labels
        smallest = torch.finfo(torch.float32).tiny
        return self.labels.float().clamp(min=smallest).log() if self.are_probabilities else self.labels.float()

    def images_per_class(self, classes: int) -> int:
        """How many images per class it has; of an uneven set, the mean, rounded up."""
        return -(-len(self.labels) // classes)


@dataclass(frozen=True, slots=True)
class ForeignFiles:
    """The sets that a path holds, and the files that they were read from, under names relative to it."""

    sets: Sequence[ForeignSet]
    files: Sequence[tuple[str, Path]]


def refuse_unfit(foreign: ForeignSet, where: str, *, classes: int, channels: int, image_size: int) -> None:
    """Refuse a set that cannot be of a dataset. Raises: UserError saying what differs."""
    shape, expected = tuple(foreign.images_NCHW.shape), (channels, image_size, image_size)
    if len(shape) != 4 or shape[1:] != expected:
        text, wanted = ("x".join(map(str, sizes)) for sizes in (shape, ("N", *expected)))
        raise UserError(f"images are {text}, those of the dataset {wanted}", where=where, remedy="name its own dataset")
    if len(foreign.labels) != shape[0] or shape[0] == 0:
        problem = f"there are {shape[0]} images and {len(foreign.labels)} labels"
        raise UserError(problem, where=where, remedy="pass files that belong together and hold images")
    for name, tensor in (("images", foreign.images_NCHW), ("labels", foreign.labels)):
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{name} hold values that are not finite", where=where, remedy="pass a set without them")
    _refuse_labels(foreign.labels, where, classes)
    if foreign.step_size is not None and not abs(foreign.step_size) < float("inf"):
        raise UserError(f"the step size is {foreign.step_size}", where=where, remedy="correct it in the files")


def _refuse_labels(labels: Tensor, where: str, classes: int) -> None:
    if labels.is_floating_point():
        if labels.dim() != 2 or labels.shape[1] != classes:
            text = "x".join(map(str, labels.shape))
            problem = f"soft labels are {text}; the dataset has {classes} classes"
            raise UserError(problem, where=where, remedy=f"name its own dataset, or pass N x {classes} logits")
        return
    if labels.dim() != 1:
        problem = f"labels have {labels.dim()} dimensions"
        raise UserError(problem, where=where, remedy="pass one class for each image")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        problem = f"labels go from {low} to {high}; the dataset has {classes} classes, counted from 0"
        raise UserError(problem, where=where, remedy="number them from 0, or name the dataset that it was made of")
