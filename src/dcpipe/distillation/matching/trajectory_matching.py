"""Trajectory matching: a student trained on the synthetic set from an expert's checkpoint should end where the
expert was some epochs later.

Source: MTT, arXiv:2203.11932.

Legend: N images, B images in a batch, C channels, H W pixels, P parameters.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from dcpipe.data import augment
from dcpipe.distillation.coordinates.objectives import unrestricted
from dcpipe.distillation.hypergradient.hypergradient_problem import (
    AugmentDraw,
    HypergradientProblem,
    InnerDraws,
    Objective,
)
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.matching_results import StudentResult, StudentStart
from dcpipe.distillation.segments.drawn_segments import Segment
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.student import draw_batches
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.params.method import OuterLoop
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.matching.trajectory_config import TrajectoryMatchingConfig


@dataclass(frozen=True, slots=True)
class TrajectoryEpisode:
    """A segment, its end (P), its objective, where the student starts (P), the inner loop's draws and their stream.

    See `dcpipe.distillation.episodes.Episode` and `StudentEpisode`.
    """

    matching: "TrajectoryMatching"
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

    @property
    def as_student_episode(self) -> "TrajectoryEpisode":
        """Itself."""
        return self

    def evaluate(self, synthetic: SyntheticSet, start: StudentStart | None = None) -> StudentResult:
        """The distance to the target, in units of the way the expert went, and its gradients."""
        return self.matching.evaluate_episode(self, synthetic, start or StudentStart(0, self.student_start_P))

    def with_new_draws(self, num_images: int) -> "TrajectoryEpisode":
        """The same segment and start, with other batches and augmentation."""
        again = self.stream.child("again")
        return replace(self, draws=self.matching.draw_inner_loop(num_images, again), stream=again)

    def next_episode(self, synthetic: SyntheticSet) -> None:
        """None: a segment is matched once."""


class TrajectoryMatching:
    """See `dcpipe.distillation.episodes.Matching`."""

    def __init__(self, config: "TrajectoryMatchingConfig", setting: Setting) -> None:
        experts, outer, train = Teachers.from_setting(setting), setting.method.outer, setting.train
        self._experts, self._config, self._device, self._stream = experts.path, config, setting.device, setting.stream
        self._learns_labels = learns_labels(outer)
        self._strategy, self._size = augment.parse_strategy(config.augmentation), train.size
        self._segments, self._starts = config.segment.build(), config.start_noise.build()
        self._restricted = outer.coordinates.build() if outer else unrestricted
        inner = make_inner_training(
            experts.model,
            derivatives=ConvNetDerivatives.from_name(
                setting.network,
                channels=train.channels,
                image_size=train.size,
                classes=train.classes,
                precision=setting.method.compute.precision,
            ),
            augment=augment.apply if self._strategy else None,
            backend=setting.method.compute.backend,
        )
        at_once = config.hypergradient.micro_batch_images(inner, experts.model, tuple(train.images_NCHW.shape[1:]))
        self._inner = replace(inner, micro_batch=at_once)
        self._hypergradient = config.hypergradient.build(config.inner_steps)
        self._facts = setting.facts

    def draw_episode(self, iteration: int, num_images: int) -> TrajectoryEpisode:
        """A segment, the student's start, and batches and augmentation of every inner step."""
        stream = self._stream.child("iteration", iteration)
        segment = self._segments(self._experts.num_experts, iteration, stream.child("segment").generator())
        start_P = self._experts.at(segment.expert, segment.start).to(self._device)
        target_P = self._experts.at(segment.expert, segment.target).to(self._device)
        student_P, distance = self._starts(start_P, target_P, stream)
        objective = self._restricted(distance, target_P)
        return TrajectoryEpisode(
            self, segment, target_P, student_P, objective, self.draw_inner_loop(num_images, stream), stream
        )

    def draw_inner_loop(self, num_images: int, stream: Stream) -> InnerDraws:
        """Batches of a set of so many images, and how each is augmented."""
        steps, batch = self._config.inner_steps, self._config.inner_batch
        batches = draw_batches(num_images, batch, steps, stream.child("batches").generator())
        moved = {id(rows): rows.to(self._device) for rows in batches}  # once, not in every step that uses them
        return InnerDraws(tuple(moved[id(rows)] for rows in batches), self._augmentations(batches, stream))

    def _augmentations(self, batches: tuple[Tensor, ...], stream: Stream) -> tuple[AugmentDraw | None, ...]:
        """One family a step, parameters per image (not siamese), as the MTT code draws them."""
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
            ).to(self._device)
            for rows in batches
        )

    def evaluate_episode(
        self, episode: TrajectoryEpisode, synthetic: SyntheticSet, start: StudentStart
    ) -> StudentResult:
        """The loss and gradients of an episode whose student goes on from `start`."""
        problem = HypergradientProblem(
            self._inner,
            images_NCHW=synthetic.images_NCHW,
            labels=synthetic.labels,
            step_size=synthetic.step_size.to(start.theta_P.dtype),
            start_P=start.theta_P,
            objective=episode.objective,
            draws=episode.draws.after(start.step),
            labels_require_grad=self._learns_labels,
        )
        if start.step == 0:
            self._facts |= self._config.hypergradient.facts(problem)
        return self._hypergradient(problem)


def learns_labels(outer: OuterLoop | None) -> bool:
    """Whether the derivative of label logits is asked for."""
    return outer is not None and outer.labels.learning_optimiser is not None
