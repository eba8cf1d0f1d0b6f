"""Sharpness-aware image updates: the gradient at the worst point of a ball around the set.

Source: SAM, arXiv:2010.01412; as an outer optimiser SATM, section A.7.
"""

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Matching
from dcpipe.distillation.sharpness.common import Found, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.sharpness import Sam
from dcpipe.random import Stream


def evaluate(
    what: Sam,
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> Found:
    """The gradient at S + radius h / |h|."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(synthetic.images_NCHW, h_NCHW, what.radius)

    return two_passes(matching, synthetic, episode, what.second_pass, perturb)
