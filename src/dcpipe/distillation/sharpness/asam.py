"""Adaptive sharpness-aware image updates: a ball in units of each pixel's magnitude.

Source: ASAM, arXiv:2102.11600; as an outer optimiser SATM, section A.7.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.sharpness import perturbation
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.sharpness_config import Asam


def compute_gradients(
    config: "Asam",
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,  # noqa: ARG001
    stream: Stream,  # noqa: ARG001
) -> SharpnessResult:
    """The gradient at S + radius T^2 h / |T h|, T = |S| + offset, elementwise."""
    magnitude_P = synthetic.images_NCHW.abs().flatten() + config.offset

    def perturb(h_NCHW: Tensor) -> Tensor:
        return perturbation(magnitude_P, h_NCHW.flatten(), radius=config.radius, adaptive=True).view_as(h_NCHW)

    return two_passes(synthetic, episode, config.second_pass, perturb)
