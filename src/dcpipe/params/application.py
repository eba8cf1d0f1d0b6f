"""An application: what synthetic sets are used for beside training one network, and how that is measured."""

from abc import abstractmethod
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import AxisValue, ValueLocation
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import STRICT, Index

if TYPE_CHECKING:
    from dcpipe.evaluation.applications.trials import ApplicationFunction


@plain_dataclass(frozen=True, slots=True)
class ApplicationContext:
    """What a task is checked against."""

    resolved: ResolvedSection
    dataset: Dataset
    evaluation: Evaluation


class TaskConfig(AxisValue, axis="application task"):
    """What a set is used for."""

    @property
    def reference_protocol(self) -> str | None:
        """The protocol under which all real images give what results are compared with; None where nothing is."""
        return None

    def check(self, location: ValueLocation, context: ApplicationContext) -> None:
        """Refuse a task that the dataset does not allow. Raises: UserError naming file and key."""

    @abstractmethod
    def num_parts(self, dataset: Dataset) -> int:
        """How many jobs it is split into; each goes on alone after a kill."""

    @abstractmethod
    def networks_to_train(self, dataset: Dataset, part: int) -> tuple[str, ...]:
        """The networks that a part trains, by name, as often as each is trained on a whole set (for estimates)."""

    @abstractmethod
    def build(self) -> "ApplicationFunction":
        """What measures one part."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Application:
    """A params/applications file. How networks are trained says the protocol that a run names beside it."""

    description: str = Field(description="a line that describes the application, for lists and the report")
    seed: Index = Field(description="seed of its own random draws, such as the order of classes")
    task: TaskConfig
