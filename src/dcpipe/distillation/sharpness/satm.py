"""Sharpness-aware trajectory matching's image update: SAM whose perturbation comes from smoothed images.

With the truncated hypergradient, a second pass that reuses the first pass's trajectory, and the first-order step-size
rule it is SATM. Its displayed formulas are not in the text it is taken from; what they leave open is a param.
Source: SATM, section 4 and algorithm 1.

Legend: N images, C channels, H W pixels.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.sharpness_config import Satm, SmoothingNoise


def noise_std(images_NCHW: Tensor, noise: "SmoothingNoise") -> Tensor:
    """The standard deviation (N, 1, 1, 1) of each image's noise, by the unit that the params name."""
    norms_N: Tensor = torch.linalg.vector_norm(images_NCHW.flatten(1), dim=1)
    match noise.unit:
        case "rms":
            answer_N = noise.scale * norms_N / math.sqrt(images_NCHW[0].numel())
        case "norm":
            answer_N = noise.scale * norms_N
        case "variance":
            answer_N = (noise.scale * norms_N).sqrt()
    return answer_N.view(-1, 1, 1, 1)


def compute_gradients(
    config: "Satm",
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,  # noqa: ARG001
    stream: Stream,
) -> SharpnessResult:
    """The gradient at S + radius h / |h|, h the gradient at S + noise; the noise itself is added to it where kept."""
    images_NCHW = synthetic.images_NCHW
    drawn_NCHW = torch.randn(images_NCHW.shape, generator=stream.child("smoothing").generator()).to(images_NCHW)

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(images_NCHW, h_NCHW, config.radius, config.radius_unit)

    return two_passes(
        synthetic,
        episode,
        config.second_pass,
        perturb,
        noise_NCHW=noise_std(images_NCHW, config.noise) * drawn_NCHW,
        noise_is_kept=config.noise.kept,
    )
