"""Architecture search over a space of ConvNets: the knobs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.evaluation.applications import convnet_space
from dcpipe.params.application import ApplicationContext, TaskConfig
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.dataset import Dataset
from dcpipe.params.schema import STRICT, Count, Name

if TYPE_CHECKING:
    from dcpipe.evaluation.applications.trials import ApplicationFunction

Counts = Annotated[list[Count], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ArchitectureSearch(TaskConfig):
    """Every ConvNet of a space is trained on the set; how well their ranking agrees with that by real images."""

    implementation = ("dcpipe.evaluation.applications.search", "dcpipe.models.convnet_network")

    kind: Literal["architecture-search"]
    depths: Counts = Field(description="numbers of blocks; ConvNets too deep for the images are left out")
    widths: Counts = Field(description="channels of each block")
    activations: Annotated[list[Literal["sigmoid", "relu", "leakyrelu", "swish"]], Field(min_length=1)] = Field(
        description="activations"
    )
    norms: Annotated[list[Literal["nonorm", "batch", "layer", "instance", "group"]], Field(min_length=1)] = Field(
        description="normalisations"
    )
    poolings: Annotated[list[Literal["nopool", "maxpool", "avgpool"]], Field(min_length=1)] = Field(
        description="poolings"
    )
    sample: Count | None = Field(description="how many of them are drawn; null: all")
    part_size: Count = Field(description="candidates that one job trains")
    reference: Name = Field(description="the protocol under which networks trained on all real images give the ranking")

    @field_validator("depths", "widths", "activations", "norms", "poolings")
    @classmethod
    def _refuse_repeated(cls, values: list[object]) -> list[object]:
        repeated = next((value for value in values if values.count(value) > 1), None)
        if repeated is not None:
            raise ValueError(f"{repeated} is listed twice; remove one of them")
        return values

    @property
    def reference_protocol(self) -> str:
        """What it compares rankings with."""
        return self.reference

    def candidates(self, image_size: int) -> Sequence[str]:
        """The names of the ConvNets, in the order in which parts train them."""
        names = convnet_space.convnet_names(
            self.depths, self.widths, self.activations, self.norms, self.poolings, image_size=image_size
        )
        return convnet_space.shuffle_by_hash(names)[: self.sample]

    def check(self, location: ValueLocation, context: ApplicationContext) -> None:
        """There is something to rank."""
        size = context.dataset.facts.image_size
        found = len(self.candidates(size))
        if found < 2:
            problem = f"{found} of these ConvNets fit images of {size}x{size} pixels, and a ranking needs two"
            raise location.error("depths", problem, "add smaller depths, or the pooling nopool")
        if self.sample is not None and self.sample > found:
            problem = f"{self.sample} are more than the {found} ConvNets of the space that fit these images"
            raise location.error("sample", problem, f"write at most {found}, or null for all")

    def num_parts(self, dataset: Dataset) -> int:
        """One for so many candidates."""
        return max(1, -(-len(self.candidates(dataset.facts.image_size)) // self.part_size))

    def _part_candidates(self, image_size: int, part: int) -> Sequence[str]:
        return self.candidates(image_size)[part * self.part_size : (part + 1) * self.part_size]

    def networks_to_train(self, dataset: Dataset, part: int) -> tuple[str, ...]:
        """The candidates of a part."""
        return tuple(self._part_candidates(dataset.facts.image_size, part))

    def build(self) -> "ApplicationFunction":
        """The candidates of one part."""
        from functools import partial

        from dcpipe.evaluation.applications import search

        return partial(search.measure_candidates, self._part_candidates)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Four ConvNets in two parts."""
        tree = {
            "kind": "architecture-search",
            "depths": [1],
            "widths": [8, 16],
            "activations": ["relu"],
            "norms": ["instance", "batch"],
            "poolings": ["avgpool"],
            "sample": None,
            "part_size": 2,
            "reference": "digits",
        }
        changes = {
            "depths": [2], "widths": [8], "activations": ["sigmoid"], "norms": ["group", "batch"],
            "poolings": ["maxpool"], "sample": 3, "reference": "dsa",
        }  # fmt: skip
        return {"architecture-search": Example(tree, changes=changes)}
