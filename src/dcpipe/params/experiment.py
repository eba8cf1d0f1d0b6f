"""An experiment: what to run."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.network_name import check_network
from dcpipe.params.neutral import AsBefore
from dcpipe.params.schema import STRICT, Count, Name


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """Every combination of its lists."""

    datasets: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/datasets")
    methods: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/methods")
    ipc: Annotated[list[Count], Field(min_length=1)] = Field(description="images a class")
    sets: Count = Field(description="synthetic sets of each kind, each from its own seed")
    evaluations: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/evaluations")
    networks: Annotated[list[str], Field(min_length=1)] = Field(
        description="networks that the sets are scored with; native: the dataset's own"
    )

    @field_validator("networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return [check_network(name) for name in networks]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experiment:
    """A params/experiments file."""

    title: str = Field(description="title of the report")
    description: str = Field(description="what the experiment asks, for the report and for lists")
    runs: Annotated[list[Run], Field(min_length=1)] = Field(description="what is run: every combination of each")
    reference: Annotated[Name, AsBefore("random")] = Field(description="the method that the report compares with")
