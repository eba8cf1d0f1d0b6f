"""Trajectory matching: a student trained on the synthetic set from an expert's checkpoint should end where the
expert was some epochs later.

Source: MTT, arXiv:2203.11932.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

from torch import Tensor

from dcpipe.distill import composition
from dcpipe.distill.distance import trajectory_distance
from dcpipe.distill.hypergradient.common import Gradients, Hypergradient, InnerDraws, Trace
from dcpipe.distill.matching.common import Episode, Setting
from dcpipe.distill.segments import Segment, draw_fixed
from dcpipe.distill.student import draw_batches, make_inner
from dcpipe.distill.synthetic_set import SyntheticSet
from dcpipe.experts.trajectory import Layout, Recorded
from dcpipe.models.build import build
from dcpipe.params.method import Exact, Trajectory


@dataclass(frozen=True, slots=True)
class TrajectoryEpisode:
    """A segment with its two checkpoints (P each) and the draws of the inner loop."""

    segment: Segment
    start_P: Tensor
    target_P: Tensor
    draws: InnerDraws

    @property
    def facts(self) -> dict[str, int]:
        """The expert and the epoch where it started."""
        return {"expert": self.segment.expert, "start_epoch": self.segment.start}


class TrajectoryMatching:
    """See `dcpipe.distill.matching.common.Matching`."""

    def __init__(self, setting: Setting) -> None:
        what, train, network = setting.method.matching, setting.train, setting.task.section("network", str)
        assert isinstance(what, Trajectory)  # noqa: S101 (the composition chose this module)
        model = build(network, channels=train.channels, image_size=train.size, classes=train.classes)
        paths = setting.task.inputs("trajectories")
        self._experts = Recorded(paths, Layout.of(network, model.layout))
        self._what, self._device, self._stream = what, setting.device, setting.stream
        kind = what.hypergradient
        micro_batch = kind.micro_batch if isinstance(kind, Exact) else None
        self._inner = make_inner(model, micro_batch=micro_batch, backend=setting.method.compute.backend)
        module = composition.load(composition.HYPERGRADIENTS[kind.kind])
        self._hypergradient = cast(Hypergradient, module.evaluate)

    def draw(self, iteration: int, num_images: int) -> TrajectoryEpisode:
        """A segment and the batches of every inner step."""
        stream = self._stream.child("iteration", iteration)
        segment = draw_fixed(self._what.segment, self._experts.num_experts, stream.child("segment").generator())
        steps = self._what.inner_steps
        batches = draw_batches(num_images, self._what.inner_batch, steps, stream.child("batches").generator())
        return TrajectoryEpisode(
            segment,
            self._experts.at(segment.expert, segment.start).to(self._device),
            self._experts.at(segment.expert, segment.target).to(self._device),
            InnerDraws(batches, (None,) * steps),
        )

    def evaluate(self, synthetic: SyntheticSet, episode: Episode) -> tuple[Gradients, Trace]:
        """Gradients of the distance to the target, in units of the way the expert went."""
        assert isinstance(episode, TrajectoryEpisode)  # noqa: S101 (drawn above)
        return self._hypergradient(
            self._inner,
            images_NCHW=synthetic.images_NCHW,
            labels=synthetic.labels,
            step_size=synthetic.step_size.to(episode.start_P.dtype),
            start_P=episode.start_P,
            objective=partial(trajectory_distance, start_P=episode.start_P, target_P=episode.target_P),
            draws=episode.draws,
        )


def make(setting: Setting) -> TrajectoryMatching:
    """The matching of a job."""
    return TrajectoryMatching(setting)
