"""Surrogate-gap sharpness-aware image updates.

Source: GSAM, arXiv:2203.08065; as an outer optimiser SATM, section A.7.
"""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Matching
from dcpipe.distillation.sharpness.common import Found, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.sharpness import orthogonal_part
from dcpipe.params.sharpness import Gsam
from dcpipe.random import Stream


def evaluate(
    what: Gsam,
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> Found:
    """SAM's gradient less alpha times the part of h at right angles to it; labels as in SAM."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(synthetic.images_NCHW, h_NCHW, what.radius)

    found = two_passes(matching, synthetic, episode, what.second_pass, perturb)
    climbed_NCHW = found.gradients.images
    across_P = orthogonal_part(found.first_images.flatten(), climbed_NCHW.flatten())
    images_NCHW = climbed_NCHW - what.alpha * across_P.view_as(climbed_NCHW)
    return replace(found, gradients=replace(found.gradients, images=images_NCHW))
