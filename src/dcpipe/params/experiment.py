"""An experiment: what to run."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.network_name import check_network
from dcpipe.params.schema import STRICT, Count, Name


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """Every combination of its lists."""

    datasets: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    ipc: Annotated[list[Count], Field(min_length=1)]
    sets: Count  # synthetic sets of each kind, each from its own seed
    evaluations: Annotated[list[Name], Field(min_length=1)]
    networks: Annotated[list[str], Field(min_length=1)]

    @field_validator("networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return [check_network(name) for name in networks]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experiment:
    """A params/experiments file."""

    title: str
    description: str
    runs: Annotated[list[Run], Field(min_length=1)]
