"""Sharpness-aware image updates: the gradient at the worst point of a ball around the set.

Source: SAM, arXiv:2010.01412; as an outer optimiser SATM, section A.7.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.sharpness_config import Sam


def compute_gradients(
    config: "Sam",
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> SharpnessResult:
    """The gradient at S + radius h / |h|."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(synthetic.images_NCHW, h_NCHW, config.radius, config.radius_unit)

    return two_passes(synthetic, episode, config.second_pass, perturb)
