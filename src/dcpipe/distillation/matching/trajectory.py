"""Trajectory matching: a student trained on the synthetic set from an expert's checkpoint should end where the
expert was some epochs later.

Source: MTT, arXiv:2203.11932.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.augment import DSADraw
from dcpipe.distillation import composition, segments
from dcpipe.distillation.distance import displacement_distance, trajectory_distance
from dcpipe.distillation.hypergradient.common import Gradients, Hypergradient, InnerDraws, Objective, Start, Trace
from dcpipe.distillation.matching.common import Episode, Setting
from dcpipe.distillation.segments import Segment
from dcpipe.distillation.student import draw_batches, make_inner
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers
from dcpipe.params.outer import PrunedCoordinates
from dcpipe.params.trajectory import GaussianNoise, Trajectory, Truncated, Unrolled
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class TrajectoryEpisode:
    """A segment, its end (P), its objective, where the student starts (P), the inner loop's draws and their stream."""

    segment: Segment
    target_P: Tensor
    student_start_P: Tensor
    objective: Objective
    draws: InnerDraws
    stream: Stream

    @property
    def facts(self) -> dict[str, int | float]:
        """The expert and the epoch where it started."""
        return {"expert": self.segment.expert, "start_epoch": self.segment.start}


class TrajectoryMatching:
    """See `dcpipe.distillation.matching.common.Matching`."""

    def __init__(self, setting: Setting) -> None:
        what, outer, experts = setting.method.matching, setting.method.outer, Teachers.of(setting)
        assert isinstance(what, Trajectory)  # noqa: S101 (the composition chose this module)
        assert outer is not None  # noqa: S101 (a matching has an outer loop)
        self._experts, self._what, self._device, self._stream = experts.path, what, setting.device, setting.stream
        self._coordinates, self._learns_labels = outer.coordinates, outer.labels.kind == "learned"
        self._strategy, self._size = augment.parse(what.augmentation), setting.train.size
        kind = what.hypergradient
        self._inner = make_inner(
            experts.model,
            augment=_augmented if self._strategy else None,
            micro_batch=None if isinstance(kind, Unrolled) else kind.micro_batch,
            backend=setting.method.compute.backend,
        )
        module = composition.load(composition.HYPERGRADIENTS[kind.kind])
        kept = kind.kept_steps(what.inner_steps) if isinstance(kind, Truncated) else None
        self._hypergradient = cast(Hypergradient, module.evaluate if kept is None else module.through_last(kept))

    def draw(self, iteration: int, num_images: int) -> TrajectoryEpisode:
        """A segment, the student's start, and batches and augmentation of every inner step."""
        stream = self._stream.child("iteration", iteration)
        chosen = stream.child("segment").generator()
        segment = segments.draw(self._what.segment, self._experts.num_experts, iteration, chosen)
        start_P = self._experts.at(segment.expert, segment.start).to(self._device)
        target_P = self._experts.at(segment.expert, segment.target).to(self._device)
        student_P, objective = self._start(start_P, target_P, stream)
        return TrajectoryEpisode(segment, target_P, student_P, objective, self._draws(num_images, stream), stream)

    def redraw(self, episode: Episode, num_images: int) -> TrajectoryEpisode:
        """The same segment and start, with other batches and augmentation."""
        assert isinstance(episode, TrajectoryEpisode)  # noqa: S101 (drawn above)
        again = episode.stream.child("again")
        return replace(episode, draws=self._draws(num_images, again), stream=again)

    def _draws(self, num_images: int, stream: Stream) -> InnerDraws:
        steps = self._what.inner_steps
        batches = draw_batches(num_images, self._what.inner_batch, steps, stream.child("batches").generator())
        return InnerDraws(batches, self._augmentations(batches, stream))

    def _augmentations(self, batches: tuple[Tensor, ...], stream: Stream) -> tuple[DSADraw | None, ...]:
        """One family a step, parameters an image (not siamese), as the MTT code draws them."""
        if not self._strategy:
            return (None,) * len(batches)
        generator = stream.child("augmentation").generator()
        return tuple(
            augment.draw(
                self._strategy,
                batch=len(rows),
                height=self._size,
                width=self._size,
                generator=generator,
                siamese=False,
            )
            for rows in batches
        )

    def _start(self, start_P: Tensor, target_P: Tensor, stream: Stream) -> tuple[Tensor, Objective]:
        endpoint = partial(trajectory_distance, start_P=start_P, target_P=target_P)
        noise = self._what.start_noise
        if not isinstance(noise, GaussianNoise):
            return start_P, self._counted(endpoint, target_P)
        drawn_P = torch.randn(start_P.shape, generator=stream.child("noise").generator()).to(start_P)
        student_P = start_P + noise.sigma * start_P.square().mean().sqrt() * drawn_P
        if noise.objective == "endpoint":
            return student_P, self._counted(endpoint, target_P)
        displaced = partial(displacement_distance, student_start_P=student_P, start_P=start_P, target_P=target_P)
        return student_P, self._counted(displaced, target_P)

    def _counted(self, objective: partial[Tensor], target_P: Tensor) -> Objective:
        if not isinstance(self._coordinates, PrunedCoordinates):
            return objective
        pruned = composition.load(composition.COORDINATES[self._coordinates.kind][0]).pruned
        return cast(Objective, pruned(objective, target_P, self._coordinates.threshold))

    def evaluate(
        self, synthetic: SyntheticSet, episode: Episode, start: Start | None = None
    ) -> tuple[Gradients, Trace]:
        """Gradients of the distance to the target, in units of the way the expert went."""
        assert isinstance(episode, TrajectoryEpisode)  # noqa: S101 (drawn above)
        begin = start or Start(0, episode.student_start_P)
        return self._hypergradient(
            self._inner,
            images_NCHW=synthetic.images_NCHW,
            labels=synthetic.labels,
            step_size=synthetic.step_size.to(begin.theta_P.dtype),
            start_P=begin.theta_P,
            objective=episode.objective,
            draws=episode.draws.after(begin.step),
            labels_require_grad=self._learns_labels,
        )

    def proceed(self, synthetic: SyntheticSet, episode: Episode) -> None:
        """A segment is matched once."""


def _augmented(x_BCHW: Tensor, draw: object) -> Tensor:
    assert isinstance(draw, DSADraw)  # noqa: S101 (drawn by _augmentations)
    return augment.apply(x_BCHW, draw)


def make(setting: Setting) -> TrajectoryMatching:
    """The matching of a job."""
    return TrajectoryMatching(setting)
