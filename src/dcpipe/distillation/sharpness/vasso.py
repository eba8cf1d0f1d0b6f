"""Variance-suppressed sharpness-aware image updates: the perturbation follows a running mean of gradients.

Source: VaSSO, arXiv:2309.15639, and its public code, whose mean starts at the first gradient; as an outer optimiser
SATM, section A.7.
"""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.matching.common import Episode, Matching
from dcpipe.distillation.sharpness.common import Found, ascent, two_passes
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.sharpness import Vasso
from dcpipe.random import Stream


def mean_gradient(memory_NCHW: Tensor | None, h_NCHW: Tensor, theta: float) -> Tensor:
    """d <- (1 - theta) d + theta h; the first h where there is no mean yet."""
    return h_NCHW if memory_NCHW is None else (1.0 - theta) * memory_NCHW + theta * h_NCHW


def evaluate(
    what: Vasso,
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    *,
    memory: Tensor | None,
    stream: Stream,  # noqa: ARG001
) -> Found:
    """The gradient at S + radius d / |d|; `memory` is d."""

    def perturb(h_NCHW: Tensor) -> Tensor:
        return ascent(synthetic.images_NCHW, mean_gradient(memory, h_NCHW, what.theta), what.radius)

    found = two_passes(matching, synthetic, episode, what.second_pass, perturb)
    return replace(found, memory=mean_gradient(memory, found.first_images, what.theta))
