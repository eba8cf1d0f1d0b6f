"""Variance-suppressed sharpness-aware image updates: the perturbation follows a running mean of gradients.

Source: VaSSO, arXiv:2309.15639, and its public code, whose mean starts at the first gradient; as an outer optimiser
SATM, section A.7.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from dcpipe.distillation.episodes import Episode
from dcpipe.distillation.sharpness.passes import SharpnessResult, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.sharpness.sharpness_config import Vasso


def mean_gradient(mean_NCHW: Tensor | None, h_NCHW: Tensor, theta: float) -> Tensor:
    """d <- (1 - theta) d + theta h; the first h where there is no mean yet."""
    return h_NCHW if mean_NCHW is None else (1.0 - theta) * mean_NCHW + theta * h_NCHW


def compute_gradients(
    config: "Vasso",
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    carried_state: Tensor | None,
    stream: Stream,  # noqa: ARG001
) -> SharpnessResult:
    """The gradient at S + radius d / |d|; `carried_state` is d."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(
            synthetic.images_NCHW, mean_gradient(carried_state, h_NCHW, config.theta), config.radius, config.radius_unit
        )

    result = two_passes(synthetic, episode, config.second_pass, perturb)
    return replace(result, carried_state=mean_gradient(carried_state, result.first_image_gradient, config.theta))
