"""Adaptive sharpness-aware image updates: a ball in units of each pixel's magnitude.

Source: ASAM, arXiv:2102.11600; as an outer optimiser SATM, section A.7.
"""

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Matching
from dcpipe.distillation.sharpness.common import Found, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.sharpness import perturbation
from dcpipe.params.sharpness import Asam
from dcpipe.random import Stream


def evaluate(
    what: Asam,
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> Found:
    """The gradient at S + radius T^2 h / |T h|, T = |S| + offset, elementwise."""
    magnitude_P = synthetic.images_NCHW.abs().flatten() + what.offset

    def perturb(h_NCHW: Tensor) -> Tensor:
        return perturbation(magnitude_P, h_NCHW.flatten(), radius=what.radius, adaptive=True).view_as(h_NCHW)

    return two_passes(matching, synthetic, episode, what.second_pass, perturb)
