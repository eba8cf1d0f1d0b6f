"""What every kind of outer sharpness takes and answers, and the two passes that all but `none` share.

A kind is one module with one function of the type `Kind`. It asks the matching for gradients at two sets, whatever the
loss is, so it works for any; only one with students can go on from inside a pass, or draw its batches anew.

Legend: N images, C channels, H W pixels; h the first pass's gradient of the images, e the perturbation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.common import Gradients, Start, Trace
from dcpipe.distillation.matching.common import Episode, Matching, WithStudents
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.sharpness import perturbation
from dcpipe.params.sharpness import SecondPass, steps_of
from dcpipe.random import Stream

What_contra = TypeVar("What_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Found:
    """What an iteration learned.

    `gradients`: what to descend; images (and labels) from the last pass, the step size from the first. `trace`: the
    first pass's. `first_images` (N, C, H, W): h. `memory`: what the next iteration needs to know, if anything.
    """

    gradients: Gradients
    trace: Trace
    first_images: Tensor
    facts: dict[str, float] = field(default_factory=dict)
    memory: Tensor | None = None


class Kind(Protocol[What_contra]):
    """One iteration's evaluations. `memory` is what the iteration before left, and `stream` this iteration's."""

    def __call__(
        self,
        what: What_contra,
        matching: Matching,
        synthetic: SyntheticSet,
        episode: Episode,
        *,
        memory: Tensor | None,
        stream: Stream,
    ) -> Found: ...


def ascent(images_NCHW: Tensor, direction_NCHW: Tensor, radius: float) -> Tensor:
    """e = radius d / |d| (N, C, H, W), the norm over all images at once. Source: SAM, arXiv:2010.01412, equation 2."""
    flat_P = perturbation(images_NCHW.flatten(), direction_NCHW.flatten(), radius=radius, adaptive=False)
    return flat_P.view_as(images_NCHW)


def two_passes(
    matching: Matching,
    synthetic: SyntheticSet,
    episode: Episode,
    second_pass: SecondPass,
    perturb: Callable[[Tensor], Tensor],
    *,
    noise_NCHW: Tensor | None = None,
    noise_is_kept: bool = False,
) -> Found:
    """The gradient at S (or S + noise), and that at S + `perturb`(h) (and the noise, where it is kept).

    The second pass goes on from where the first pass's student was, if it takes only some of the inner steps.
    Facts: the length of h, the cosine of the two gradients, and the rise of the loss from the first to the second.
    """
    images_NCHW = synthetic.images_NCHW
    smoothed_NCHW = images_NCHW if noise_NCHW is None else images_NCHW + noise_NCHW
    first, trace = matching.evaluate(replace(synthetic, images_NCHW=smoothed_NCHW), episode)
    start = _start(trace, second_pass)
    trace = replace(trace, thetas=trace.thetas[-1:], first=trace.steps)  # the second pass keeps its own
    climbed_NCHW = (smoothed_NCHW if noise_is_kept else images_NCHW) + perturb(first.images)
    climbed = replace(synthetic, images_NCHW=climbed_NCHW)
    if start is None and second_pass.draws == "shared":
        second, their_trace = matching.evaluate(climbed, episode)
    else:
        again = cast(WithStudents, matching)  # planning refuses the rest for any other
        target = episode if second_pass.draws == "shared" else again.redraw(episode, len(images_NCHW))
        second, their_trace = again.evaluate(climbed, target, start)
    facts = {
        "first_gradient_norm": float(first.images.norm()),
        "cosine": float(torch.cosine_similarity(first.images.flatten(), second.images.flatten(), dim=0)),
        "rise": float(their_trace.loss - trace.loss),
    }
    return Found(replace(second, step_size=first.step_size), trace, first.images, facts)


def _start(trace: Trace, second_pass: SecondPass) -> Start | None:
    taken = steps_of(second_pass.steps, trace.steps)
    return None if taken == trace.steps else trace.at(trace.steps - taken)
