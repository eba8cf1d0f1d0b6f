"""What every kind of outer sharpness returns, and the two passes that all but `none` share.

A kind asks the episode for gradients at two sets, whatever the loss is, so it works for any matching; only one with
students can go on from inside a pass, or draw its batches anew.

Legend: N images, C channels, H W pixels; h the first pass's gradient of the images, e the perturbation.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from dcpipe.distillation.episodes import Episode, StudentEpisode
from dcpipe.distillation.matching_results import Gradients, MatchingResult, StudentStart, StudentTrace
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.experts.sharpness import perturbation
from dcpipe.params.radius_unit import RadiusUnit
from dcpipe.params.shares import SecondPass, steps_of
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class SharpnessResult:
    """What an update of the set descends, and how it was found.

    `loss`: the first pass's. `gradients`: images and labels from the last pass, the step size from the first. `trace`:
    the first pass's, where there is a student. `first_image_gradient` (N, C, H, W): h. `facts`: for the history.
    `carried_state`: what the next iteration needs to know, if anything.
    """

    loss: Tensor
    gradients: Gradients
    trace: StudentTrace | None
    first_image_gradient: Tensor
    facts: dict[str, float] = field(default_factory=dict)
    carried_state: Tensor | None = None


class SharpnessRule(Protocol):
    """One update's evaluations. `carried_state` is what the update before left, and `stream` this one's."""

    def __call__(
        self, synthetic: SyntheticSet, episode: Episode, *, carried_state: Tensor | None, stream: Stream
    ) -> SharpnessResult: ...


def one_pass(episode: Episode, synthetic: SyntheticSet) -> tuple[MatchingResult, StudentTrace | None]:
    """The episode's result, and the trace of its student, if it has one."""
    student = episode.as_student_episode
    if student is None:
        return episode.evaluate(synthetic), None
    result = student.evaluate(synthetic)
    return result, result.trace


def ascent(images_NCHW: Tensor, direction_NCHW: Tensor, radius: float, unit: RadiusUnit = "absolute") -> Tensor:
    """The perturbation e (N, C, H, W), of length radius in its unit.

    `absolute`: e = radius d / |d|, the norm over all images at once. `set-norm`: that times |S|. `image-norm`: for each
    image j, e_j = radius |S_j| d_j / |d_j|. Source: SAM, arXiv:2010.01412, equation 2; the other units are ours.
    """
    if unit == "image-norm":
        pairs = zip(images_NCHW, direction_NCHW, strict=True)
        return torch.stack([ascent(one[None], way[None], radius, "set-norm")[0] for one, way in pairs])
    length = radius * float(torch.linalg.vector_norm(images_NCHW)) if unit == "set-norm" else radius
    flat_P = perturbation(images_NCHW.flatten(), direction_NCHW.flatten(), radius=length, adaptive=False)
    return flat_P.view_as(images_NCHW)


def two_passes(
    synthetic: SyntheticSet,
    episode: Episode,
    second_pass: SecondPass,
    perturb: Callable[[Tensor], Tensor],
    *,
    noise_NCHW: Tensor | None = None,
    noise_is_kept: bool = False,
) -> SharpnessResult:
    """The gradient at S (or S + noise), and that at S + `perturb`(h) (and the noise, where it is kept).

    The second pass goes on from where the first pass's student was, if it takes only some of the inner steps.
    Facts: the length of h, the cosine of the two gradients, and the rise of the loss from the first to the second.
    """
    images_NCHW = synthetic.images_NCHW
    smoothed_NCHW = images_NCHW if noise_NCHW is None else images_NCHW + noise_NCHW
    first, trace = one_pass(episode, replace(synthetic, images_NCHW=smoothed_NCHW))
    start = None if trace is None else _start(trace, second_pass)
    if trace is not None:
        trace = replace(trace, thetas=trace.thetas[-1:], first=trace.steps)  # the second pass keeps its own
    h_NCHW = first.gradients.images
    climbed_NCHW = (smoothed_NCHW if noise_is_kept else images_NCHW) + perturb(h_NCHW)
    climbed = replace(synthetic, images_NCHW=climbed_NCHW)
    if start is None and second_pass.draws == "shared":
        second, _ = one_pass(episode, climbed)
    else:
        student = _student(episode)
        again = student if second_pass.draws == "shared" else student.with_new_draws(len(images_NCHW))
        second = again.evaluate(climbed, start)
    last_NCHW = second.gradients.images
    facts = {
        "first_gradient_norm": float(h_NCHW.norm()),
        "cosine": float(torch.cosine_similarity(h_NCHW.flatten(), last_NCHW.flatten(), dim=0)),
        "rise": float(second.loss - first.loss),
    }
    gradients = replace(second.gradients, step_size=first.gradients.step_size)
    return SharpnessResult(first.loss, gradients, trace, h_NCHW, facts)


def _start(trace: StudentTrace, second_pass: SecondPass) -> StudentStart | None:
    taken = steps_of(second_pass.steps, trace.steps)
    return None if taken == trace.steps else trace.at(trace.steps - taken)


def _student(episode: Episode) -> StudentEpisode:
    if episode.as_student_episode is None:
        remedy = "write steps: 1/1 and draws: shared"
        raise UserError("the matching must train students", where="outer.sharpness.second_pass", remedy=remedy)
    return episode.as_student_episode
