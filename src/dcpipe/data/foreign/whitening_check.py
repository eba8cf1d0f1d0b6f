"""Were these images whitened? What pixel statistics say to a statement that comes with a set.

Whitening takes the correlation of neighbouring pixels away and changes the scale, so the two kinds of images differ in
two numbers of each image: the logarithm of the standard deviation of its values, and the correlation of neighbours (as
Fisher's z). A set is compared with real images of both kinds by Mahalanobis distance: of its mean image to the cloud of
real ones. Nearer than `NEAR` to one kind and farther than `FAR` from the other is an answer; everything else is none:
an image that was distilled for long need not look like a real one of either kind.

Legend: N images, C channels, H W pixels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

NEAR, FAR = 2.0, 4.0  # standard deviations of single real images
MIN_IMAGES = 8  # real images that a cloud needs

WhiteningKind = Literal["none", "zca"]
Verdict = Literal["agrees", "contradicts", "cannot be determined"]


@dataclass(frozen=True, slots=True)
class WhiteningDistances:
    """How far the mean image of a set is from real images of each kind, in standard deviations of single images."""

    to_none: float
    to_zca: float

    def verdict(self, stated_whitening: WhiteningKind) -> Verdict:
        """Whether the distances agree with what somebody states."""
        own, other = (self.to_none, self.to_zca) if stated_whitening == "none" else (self.to_zca, self.to_none)
        if own <= NEAR and other >= FAR:
            return "agrees"
        return "contradicts" if other <= NEAR and own >= FAR else "cannot be determined"

    @property
    def text(self) -> str:
        """Both distances, for people."""
        return f"{self.to_none:.1f} from unwhitened and {self.to_zca:.1f} from whitened real images"


def whitening_distances(
    images_NCHW: Tensor, unwhitened_NCHW: Tensor, whitened_NCHW: Tensor
) -> WhiteningDistances | None:
    """How far a set is from real images of both kinds; None where they are too few or too alike to say.

    Shapes: all three N x C x H x W, of one C, H and W; the real ones standardised, and whitened, as networks see them.
    """
    if min(len(unwhitened_NCHW), len(whitened_NCHW)) < MIN_IMAGES or images_NCHW.shape[-1] < 2:
        return None
    mean_F = features(images_NCHW).mean(dim=0)
    distances = [_distance(mean_F, features(real)) for real in (unwhitened_NCHW, whitened_NCHW)]
    return WhiteningDistances(*distances) if all(map(_is_finite, distances)) else None


def features(images_NCHW: Tensor) -> Tensor:
    """The two numbers of each image (N x 2, float64); images without any variation are left out."""
    images = images_NCHW.double()
    images = images - images.mean(dim=(2, 3), keepdim=True)
    variance_N = images.square().mean(dim=(1, 2, 3))
    images, variance_N = images[variance_N > 0], variance_N[variance_N > 0]
    beside_N = (images[..., :, 1:] * images[..., :, :-1]).mean(dim=(1, 2, 3))
    below_N = (images[..., 1:, :] * images[..., :-1, :]).mean(dim=(1, 2, 3))
    correlation_N = ((beside_N + below_N) / 2 / variance_N).clamp(-0.999, 0.999)
    return torch.stack([variance_N.log() / 2, correlation_N.atanh()], dim=1)


def _distance(point_F: Tensor, cloud_NF: Tensor) -> float:
    if len(cloud_NF) < MIN_IMAGES:
        return float("nan")
    gap_F = point_F - cloud_NF.mean(dim=0)
    covariance_FF = torch.cov(cloud_NF.T)
    return float((gap_F @ torch.linalg.pinv(covariance_FF) @ gap_F).clamp(min=0).sqrt())


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")
