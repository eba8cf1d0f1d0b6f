"""`dcpipe.from_tensors`: anybody's tensors as a set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcpipe.api import labelled_images
from dcpipe.api.distilled_set import DistilledSet
from dcpipe.api.labelled_images import ImagesLike, LabelsLike
from dcpipe.data.store import Moments, Standardisation
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError


def from_tensors(
    images: ImagesLike,
    labels: LabelsLike,
    *,
    step_size: float = 0.01,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    label: str = "given",
) -> DistilledSet:
    """A distilled set of anybody's tensors.

    Args:
        images: N x C x H x W; pixels, uint8 or floating in [0, 1]; or standardised, if `mean` and `std` are stated.
        labels: N whole numbers from 0; or logits, N x K floating point numbers, whose softmax is the target.
        step_size: the learning rate that goes with the set; the default is DC's.
        mean: what was subtracted from the pixels in [0, 1] of each channel.
        std: what they were divided by then. Without both, images are pixels, and are standardised by their own.
        label: what tables call the set.

    Raises: UserError for a shape, type or value that is not possible.
    """
    if not 0 < step_size < float("inf"):
        raise UserError(f"is {step_size!r}", where="step_size", remedy="pass a number above 0")
    if (mean is None) != (std is None):
        raise UserError(
            "is given without the other", where="mean" if std is None else "std", remedy="pass mean and std, or neither"
        )
    if mean is None or std is None:
        pixels_NCHW = torch.from_numpy(labelled_images.as_uint8_images(images, "images"))
        transform = _own_standardisation(pixels_NCHW)
        images_NCHW = transform.apply(pixels_NCHW)
    else:
        images_NCHW = _check_standardised(images)
        transform = _stated(mean, std, images_NCHW.shape[1])
    targets = _targets(labels, len(images_NCHW))
    synthetic = SyntheticSet(images_NCHW, targets, torch.tensor(step_size, dtype=torch.float64))
    return DistilledSet(synthetic, transform, {}, label=label)


def _own_standardisation(pixels_NCHW: Tensor) -> Standardisation:
    moments = Moments.zero(pixels_NCHW.shape[1])
    moments.add(pixels_NCHW.numpy())
    found = moments.standardisation()
    constant = [channel for channel, std in enumerate(found.std_C) if std == 0]
    if constant:
        problem = f"channel {constant[0] + 1} has one value in all images, so its standard deviation is 0"
        raise UserError(problem, where="images", remedy="pass others; of standardised images, mean=... and std=...")
    return found


def _stated(mean: Sequence[float], std: Sequence[float], channels: int) -> Standardisation:
    for statistic, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            problem = f"has {len(values)} value{'' if len(values) == 1 else 's'}; images have {channels} channels"
            raise UserError(problem, where=statistic, remedy="pass one number per channel")
        if not np.isfinite(values).all() or (statistic == "std" and min(values) <= 0):
            raise UserError(f"is {list(values)}", where=statistic, remedy="pass finite numbers; those of std above 0")
    return Standardisation(tuple(map(float, mean)), tuple(map(float, std)))


def _check_standardised(images: ImagesLike) -> Tensor:
    """Images as networks see them, float32."""
    found = images.detach().cpu() if isinstance(images, Tensor) else torch.from_numpy(np.asarray(images))
    if found.dim() != 4 or found.shape[1] not in (1, 3) or found.shape[2] != found.shape[3] or 0 in found.shape:
        shape = " x ".join(map(str, found.shape))
        remedy = "pass N x C x H x H with 1 channel (grey) or 3 (colour)"
        raise UserError(f"have the shape {shape}", where="images", remedy=remedy)
    if not found.is_floating_point():
        problem = f"are {found.dtype}, and mean and std say that they are standardised"
        raise UserError(problem, where="images", remedy="leave mean and std out for pixels")
    if not bool(torch.isfinite(found).all()):
        raise UserError("have values that are NaN or infinite", where="images", remedy="remove or repair them")
    return found.float().contiguous()


def _targets(labels: LabelsLike, count: int) -> Tensor:
    """Classes (N, int64), or logits (N x K, float32)."""
    found = labels.detach().cpu() if isinstance(labels, Tensor) else torch.from_numpy(np.asarray(labels))
    if found.dim() == 2 and found.shape[1] > 1 and found.is_floating_point() and len(found) == count:
        if not bool(torch.isfinite(found).all()):
            raise UserError("have values that are NaN or infinite", where="labels", remedy="pass finite logits")
        return found.float().contiguous()
    return torch.from_numpy(labelled_images.as_class_labels(found.numpy(), count, "labels"))
