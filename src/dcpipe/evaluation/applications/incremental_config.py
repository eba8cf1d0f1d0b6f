"""Class-incremental learning: the knobs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.application import ApplicationContext, TaskConfig
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.dataset import Dataset
from dcpipe.params.network_name import NetworkOrNative, refuse_image_size
from dcpipe.params.network_name import parse as parse_network
from dcpipe.params.schema import STRICT, Count, JobCount

if TYPE_CHECKING:
    from dcpipe.evaluation.applications.trials import ApplicationFunction


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassIncremental(TaskConfig):
    """Classes come in steps; after each a fresh network learns from the images of all classes seen (GDumb)."""

    implementation = ("dcpipe.evaluation.applications.incremental",)

    kind: Literal["class-incremental"]
    steps: Count = Field(description="steps that the classes come in; as nearly the same number in each as possible")
    orders: JobCount = Field(description="orders of the classes, each drawn anew; one job each")
    network: NetworkOrNative = Field(description="the network that learns; native: the dataset's own")

    def check(self, location: ValueLocation, context: ApplicationContext) -> None:
        """Every step brings a class."""
        classes = context.dataset.facts.classes
        if self.steps > classes:
            problem = f"{self.steps} steps are more than the {classes} classes"
            raise location.error("steps", problem, f"write at most {classes}")
        if self.network != "native":
            where = context.resolved.location_of(f"{location.key}.network")
            refuse_image_size(parse_network(self.network), context.dataset.facts.image_size, where)

    def num_parts(self, _dataset: Dataset) -> int:
        """One for each order of the classes."""
        return self.orders

    def networks_to_train(self, dataset: Dataset, _part: int) -> tuple[str, ...]:
        """On average half of the set, a step."""
        name = dataset.network if self.network == "native" else self.network
        return (name,) * -(-(self.steps + 1) // 2)

    def build(self) -> "ApplicationFunction":
        """One order of the classes."""
        from functools import partial

        from dcpipe.evaluation.applications import incremental

        return partial(incremental.measure_class_order, self.steps, self.network)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two steps, two orders."""
        tree = {"kind": "class-incremental", "steps": 2, "orders": 2, "network": "native"}
        return {"class-incremental": Example(tree, changes={"network": "mlp"})}
