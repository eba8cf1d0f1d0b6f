"""The axes that a method is composed on, and what a value of each builds. Values lie beside their implementations."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dcpipe.errors import UserError
from dcpipe.params.axis import AxisValue, Need, ValueLocation
from dcpipe.params.facts import Facts
from dcpipe.params.network_name import has_running_statistics
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.work import InnerSizes, SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.distances.row_distances import RowDistance
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.hypergradient.problem import Hypergradient, Problem
    from dcpipe.distillation.levels.level_weights import Levels
    from dcpipe.distillation.result import Distiller
    from dcpipe.distillation.segments.drawn_segments import SegmentRule
    from dcpipe.distillation.setting import Setting
    from dcpipe.distillation.start_noise.student_starts import StartRule
    from dcpipe.distillation.training.training_ends import Ending
    from dcpipe.distillation.updates.update_counts import UpdateRule
    from dcpipe.experts.trajectory import ExpertPath, Layout
    from dcpipe.params.dataset import Dataset
    from dcpipe.params.experts import Experts
    from dcpipe.params.method import Method


@dataclass(frozen=True, slots=True)
class MethodContext:
    """What the values of a method are checked against.

    `network` is the name of the network that students or episodes use; None where there is none. `experts` are those
    that the method reads, `resolved_experts` the values of their file.
    """

    resolved: ResolvedSection
    method: "Method"
    dataset: "Dataset"
    facts: Facts
    ipc: int
    network: str | None
    experts: "Experts | None" = None
    resolved_experts: ResolvedSection | None = None

    @property
    def images(self) -> int:
        """How many images the synthetic set holds."""
        return self.ipc * self.facts.classes

    def refuse_batch_norm(self, at: ValueLocation) -> None:
        """Experts without batch norm can look at images one by one. Raises: UserError for others."""
        if self.network and has_running_statistics(self.network):
            problem = f"{self.network} has batch norm, and segments hold no running statistics to look at images with"
            raise at.error("kind", problem, "choose experts without batch norm")

    def refuse_unknown_expert(self, at: ValueLocation, knob: str, expert: int) -> None:
        """Raises: UserError if there is no expert of this number."""
        if self.experts and expert >= self.experts.count:
            problem = f"there is no expert {expert}: there are {self.experts.count}, counted from 0"
            raise at.error(knob, problem, f"write at most {self.experts.count - 1}")


@dataclass(frozen=True, slots=True)
class InnerLoop:
    """A student's training: its steps, those of which the parameters are kept, and what is drawn.

    `batch` None is the whole set; `augmentation` may be `none`.
    """

    steps: int
    kept_steps: int
    batch: int | None
    augmentation: str


class MethodValue(AxisValue, axis="any value of a method"):
    """A value on an axis of a method."""

    def check(self, at: ValueLocation, context: MethodContext) -> None:
        """Refuse knobs that are impossible or without effect here. Raises: UserError naming file and key."""


class MatchingConfig(MethodValue, axis="matching"):
    """What the synthetic set has in common with the real images."""

    @property
    def inner_loop(self) -> InnerLoop | None:
        """The training of its students; None where it has none."""
        return None

    def with_inner_steps(self, _steps: int) -> "MatchingConfig":
        """The same with students of other length; itself where it has none."""
        return self

    @property
    def offers(self) -> frozenset[Need]:
        """What other values of the method may ask of it."""
        return frozenset()

    @property
    def experts_name(self) -> str | None:
        """The experts file that it reads, if any."""
        return None

    @property
    def experts_read(self) -> int | None:
        """How many of the experts it reads, the first ones; None for all of them."""
        return None

    @property
    def network_name(self) -> str | None:
        """The network that it draws itself, or `native`; None where it takes the experts' or none."""
        return None

    @property
    def convex_path_name(self) -> str | None:
        """The name of the convex path that it reads in the place of the recorded one, if it does."""
        return None

    @property
    def real_images_a_class(self) -> int:
        """How many real images of a class one update looks at."""
        return 1

    @property
    def takes_all_images(self) -> bool:
        """Whether the set is every training image, whatever the ipc."""
        return False

    @property
    def has_outer_loop(self) -> bool:
        """Whether the images are learned; a coreset's are real ones."""
        return True

    def work(self, _sizes: SetSizes) -> Work:
        """What one iteration holds and computes, beside the images; of a coreset, the choice."""
        return Work()

    @abstractmethod
    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""

    def open_experts(self, paths: Sequence[Path], layout: "Layout") -> "ExpertPath":
        """The reader of the experts' stores. Raises: UserError where it has no experts."""
        problem = f"has no experts ({layout.network}, {len(paths)} stores)"
        raise UserError(problem, where=f"matching.kind: {self.kind}", remedy="write matching.kind: trajectory")

    def distiller(self) -> "Distiller":
        """What makes the set: the loop, unless the matching is none."""
        from dcpipe.distillation.loop import run

        return run


class SelectionConfig(MethodValue, axis="coreset selection"):
    """Which real images a coreset holds."""

    @property
    def experts_name(self) -> str | None:
        """The experts file that it takes features from, if any."""
        return None

    @property
    def takes_all_images(self) -> bool:
        """Whether it takes every training image, whatever the ipc."""
        return False

    def work(self, _sizes: SetSizes) -> Work:
        """What the choice holds and computes, beside the images."""
        return Work()

    @abstractmethod
    def build(self, step_size: float) -> "Distiller":
        """What chooses the images; `step_size` goes with the set."""


class PathConfig(MethodValue, axis="path"):
    """Where on an expert's trajectory parameters are read."""

    @property
    def convex_path_name(self) -> str | None:
        """The name of the convex path that must be made for it, such as 6-25, if any."""
        return None

    @property
    def held_checkpoints(self) -> int:
        """Checkpoints of every expert that its reader holds in memory."""
        return 0

    @abstractmethod
    def build(self, paths: Sequence[Path], layout: "Layout") -> "ExpertPath":
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
    def epochs(self) -> frozenset[int]:
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

    def facts(self, _problem: "Problem") -> Mapping[str, int]:
        """What the card says of the graphs that are kept for a problem."""
        return {}

    def work(self, _inner: InnerSizes) -> Work:
        """What the kept graphs hold, and the passes that they save, which count below zero."""
        return Work()


class HypergradientConfig(MethodValue, axis="hypergradient"):
    """How the matching loss is differentiated through the inner loop."""

    @property
    def images_at_once(self) -> int | None:
        """The micro-batch; None where the whole batch goes through the network at once."""
        return None

    def kept_steps(self, inner_steps: int) -> int:
        """Of how many of the last inner steps the parameters are kept."""
        return inner_steps

    def work(self, inner: InnerSizes) -> Work:
        """What one answer holds and computes: the parameters after each step, and one step's pass at a time."""
        at_once, kept = min(self.images_at_once or inner.images, inner.images), self.kept_steps(inner.steps)
        forwards = inner.network.gradient(at_once).times(inner.steps * inner.images / at_once)
        backwards = inner.network.pullback(at_once).times(kept * inner.images / at_once)
        return Work(held=(kept + 1) * inner.network.bytes) + forwards + backwards

    @abstractmethod
    def build(self, inner_steps: int) -> "Hypergradient":
        """The function that answers a problem."""

    def facts(self, _problem: "Problem") -> Mapping[str, int]:
        """What the card says of the memory that problems of these shapes take."""
        return {}


class LevelsConfig(MethodValue, axis="gradient levels"):
    """Of which groups of classes the gradients are matched."""

    @abstractmethod
    def build(self, classes: int) -> "Levels":
        """The weights of the two levels in an update."""


class MagnitudeConfig(MethodValue, axis="gradient magnitude"):
    """How the lengths of two gradients are compared, row by row."""

    @property
    def row_weight(self) -> float:
        """What the distance is multiplied by; 0 where it counts nothing."""
        return 0.0

    @abstractmethod
    def build(self) -> "RowDistance":
        """The distance of rows."""


class UpdatesConfig(MethodValue, axis="updates a network"):
    """How many updates of the images are made against one network."""

    @property
    def max_updates(self) -> int:
        """How many there are at most."""
        return 1

    @property
    def is_single_update(self) -> bool:
        """Whether there is exactly one."""
        return False

    @abstractmethod
    def build(self) -> "UpdateRule":
        """What says when a network has served."""


class TrainingConfig(MethodValue, axis="network training"):
    """How a network is trained on the synthetic set between updates of the images."""

    @property
    def images_a_step(self) -> int | None:
        """Synthetic images a step; None where the network is not trained."""
        return None

    @property
    def max_epochs(self) -> int:
        """Epochs after an update, at most."""
        return 0

    @abstractmethod
    def build(self) -> "Ending":
        """What says when the training between two updates ends."""
