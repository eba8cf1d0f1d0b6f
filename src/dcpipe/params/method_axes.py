"""The axis of matchings and that of coresets, and what the values of a method are checked against.

The axes inside a matching are in `trajectory_axes` and `network_axes`, those of the outer loop in `outer_axes`. What a
value builds lies beside its knobs.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dcpipe.errors import UserError
from dcpipe.params.axis import AxisValue, Need, ValueLocation
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.network_name import has_running_statistics
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.work import SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.distillation_result import Distiller
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting
    from dcpipe.experts.trajectory import ExpertTrajectories, ParameterLayout
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
    facts: DatasetFacts
    ipc: int
    network: str | None
    experts: "Experts | None" = None
    resolved_experts: ResolvedSection | None = None

    @property
    def num_images(self) -> int:
        """How many images the synthetic set holds."""
        return self.ipc * self.facts.classes

    def refuse_batch_norm(self, location: ValueLocation) -> None:
        """Experts without batch norm can look at images one by one. Raises: UserError for others."""
        if self.network and has_running_statistics(self.network):
            problem = f"{self.network} has batch norm, and segments hold no running statistics for it"
            raise location.error("kind", problem, "choose experts without batch norm")

    def refuse_unknown_expert(self, location: ValueLocation, knob: str, expert: int) -> None:
        """Raises: UserError if there is no expert of this number."""
        if self.experts and expert >= self.experts.count:
            problem = f"there is no expert {expert}: there are {self.experts.count}, counted from 0"
            raise location.error(knob, problem, f"write at most {self.experts.count - 1}")


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

    def check(self, location: ValueLocation, context: MethodContext) -> None:
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

    def with_exact_gradient(self) -> "MatchingConfig":
        """The same with the exact gradient of its loss; itself where it has no other."""
        return self

    @property
    def provides(self) -> frozenset[Need]:
        """What other values of the method may ask of it."""
        return frozenset()

    @property
    def experts_name(self) -> str | None:
        """The experts file that it reads, if any."""
        return None

    @property
    def num_experts_read(self) -> int | None:
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
    def real_images_per_class(self) -> int:
        """How many real images of a class one update looks at."""
        return 1

    @property
    def takes_whole_dataset(self) -> bool:
        """Whether the set is every training image, whatever the ipc."""
        return False

    @property
    def has_hard_labels(self) -> bool:
        """Whether a set without an outer loop has classes as labels for sure; others may be soft."""
        return False

    @property
    def has_outer_loop(self) -> bool:
        """Whether the images are learned; a coreset's are real ones."""
        return True

    def estimate_work(self, _sizes: SetSizes) -> Work:
        """What one iteration holds and computes, beside the images; of a coreset, the choice."""
        return Work()

    @abstractmethod
    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""

    def open_experts(self, paths: Sequence[Path], layout: "ParameterLayout") -> "ExpertTrajectories":
        """The reader of the experts' stores. Raises: UserError where it has no experts."""
        problem = f"has no experts ({layout.network}, {len(paths)} folders of experts)"
        raise UserError(problem, where=f"matching.kind: {self.kind}", remedy="write matching.kind: trajectory")

    def distiller(self) -> "Distiller":
        """What makes the set: the loop, unless the matching is none."""
        from dcpipe.distillation.loop import run

        return run


class CoresetSelectionConfig(MethodValue, axis="coreset selection"):
    """Which real images a coreset holds."""

    has_hard_labels: ClassVar[bool] = False  # whether they are for sure, of real images; others may be soft

    @property
    def experts_name(self) -> str | None:
        """The experts file that it takes features from, if any."""
        return None

    @property
    def takes_whole_dataset(self) -> bool:
        """Whether it takes every training image, whatever the ipc."""
        return False

    def estimate_work(self, _sizes: SetSizes) -> Work:
        """What the choice holds and computes, beside the images."""
        return Work()

    @abstractmethod
    def build(self, step_size: float) -> "Distiller":
        """What chooses the images; `step_size` goes with the set."""
