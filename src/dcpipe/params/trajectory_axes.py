"""The axes of trajectory matching: which part of an expert a student imitates, and how its end is differentiated."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dcpipe.params.method_axes import MethodValue
from dcpipe.params.schema import Count
from dcpipe.params.work import InnerSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.hypergradient.hypergradient_problem import (
        Hypergradient,
        HypergradientProblem,
        InnerTraining,
    )
    from dcpipe.distillation.segments.drawn_segments import SegmentRule
    from dcpipe.distillation.start_noise.student_starts import StartRule
    from dcpipe.experts.trajectory import ExpertTrajectories, ParameterLayout
    from dcpipe.models.flat import FlatModel

AUTO_MICRO_BATCH_BYTES = 500 * 10**6  # of the graph of the images that go through a network at once

MicroBatch = Count | Literal["auto"] | None


class ExpertPathConfig(MethodValue, axis="path"):
    """Where on an expert's trajectory parameters are read."""

    @property
    def convex_path_name(self) -> str | None:
        """The name of the convex path that must be made for it, such as 6-25, if any."""
        return None

    @property
    def num_held_checkpoints(self) -> int:
        """Checkpoints of every expert that its reader holds in memory."""
        return 0

    @abstractmethod
    def build(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """The reader of the stores of all shards."""


class SegmentConfig(MethodValue, axis="segment"):
    """Which epochs of an expert a student imitates."""

    between_epochs: ClassVar[bool] = False  # whether times that were never recorded are drawn

    @property
    @abstractmethod
    def last_epoch(self) -> int:
        """The last epoch, or time, that a segment can end at."""

    @property
    @abstractmethod
    def checkpoint_epochs(self) -> frozenset[int]:
        """Every epoch that can be asked for, where only recorded ones are."""

    @abstractmethod
    def build(self) -> "SegmentRule":
        """What draws an iteration's segment."""


class StartNoiseConfig(MethodValue, axis="start noise"):
    """Where beside an expert's checkpoint a student starts."""

    @abstractmethod
    def build(self) -> "StartRule":
        """What places the student, and what it is then compared by."""


class KeptGraphsConfig(MethodValue, axis="kept graphs", shorthand=True):
    """How much memory the graphs of inner steps may take, so that the walk backwards need not redo them."""

    @abstractmethod
    def build(self, *, through_parameters: bool) -> "Hypergradient":
        """The function that answers a problem; without `through_parameters` each step's own derivative alone."""

    def facts(self, _problem: "HypergradientProblem") -> Mapping[str, int]:
        """What the card says of the graphs that are kept for a problem."""
        return {}

    def estimate_work(self, _inner: InnerSizes) -> Work:
        """What the kept graphs hold, and the passes that they save, which count below zero."""
        return Work()


class HypergradientConfig(MethodValue, axis="hypergradient"):
    """How the matching loss is differentiated through the inner loop."""

    @property
    def micro_batch_setting(self) -> MicroBatch:
        """How many images go through the network at once: a number, `auto`, or None for the whole batch."""
        return None

    def micro_batch_images(
        self, _inner: "InnerTraining", _model: "FlatModel", _image_shape: tuple[int, ...]
    ) -> int | None:
        """The number that the setting means for float32 images of a shape (C H W); None for the whole batch."""
        return None

    def kept_steps(self, inner_steps: int) -> int:
        """Of how many of the last inner steps the parameters are kept."""
        return inner_steps

    def estimate_work(self, inner: InnerSizes) -> Work:
        """What one answer holds and computes: the parameters after each step, and one step's pass at a time."""
        size, kept = self.micro_batch_setting, self.kept_steps(inner.steps)
        fitting = inner.network.images_within(AUTO_MICRO_BATCH_BYTES) if size == "auto" else size
        at_once = min(fitting or inner.images, inner.images)
        forwards = inner.network.gradient_work(at_once).times(inner.steps * inner.images / at_once)
        backwards = inner.network.pullback_work(at_once).times(kept * inner.images / at_once)
        return Work(held_bytes=(kept + 1) * inner.network.bytes) + forwards + backwards

    @abstractmethod
    def build(self, inner_steps: int) -> "Hypergradient":
        """The function that answers a problem."""

    def facts(self, _problem: "HypergradientProblem") -> Mapping[str, int]:
        """What the card says of the memory that problems of these shapes take."""
        return {}
