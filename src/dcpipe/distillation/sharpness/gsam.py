"""Surrogate-gap sharpness-aware image updates.

Source: GSAM, arXiv:2203.08065; as an outer optimiser SATM, section A.7.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.sharpness import orthogonal_part
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.sharpness_config import Gsam


def compute_gradients(
    config: "Gsam",
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> SharpnessResult:
    """SAM's gradient less alpha times the part of h at right angles to it; labels as in SAM."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(synthetic.images_NCHW, h_NCHW, config.radius, config.radius_unit)

    result = two_passes(synthetic, episode, config.second_pass, perturb)
    climbed_NCHW = result.gradients.images
    across_P = orthogonal_part(result.first_image_gradient.flatten(), climbed_NCHW.flatten())
    images_NCHW = climbed_NCHW - config.alpha * across_P.view_as(climbed_NCHW)
    return replace(result, gradients=replace(result.gradients, images=images_NCHW))
