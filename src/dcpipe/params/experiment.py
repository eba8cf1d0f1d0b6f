"""An experiment: what to run."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.network_name import check_network
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT, Count, JobCount, Name

MAX_SCORES = 20_000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Run:
    """Every combination of its lists."""

    datasets: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/datasets")
    methods: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/methods")
    ipc: Annotated[list[Count], Field(min_length=1)] = Field(description="images per class")
    sets: JobCount = Field(description="synthetic sets of each kind, each from its own seed")
    evaluations: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/evaluations")
    networks: Annotated[list[str], Field(min_length=1)] = Field(
        description="networks that the sets are scored with; native: the dataset's own"
    )

    @property
    def num_scores(self) -> int:
        """How many scores its combinations ask for: the lists' lengths and `sets` multiplied."""
        cells = len(self.datasets) * len(self.methods) * len(self.ipc) * self.sets
        return cells * len(self.evaluations) * len(self.networks)

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, networks: list[str]) -> list[str]:
        return [check_network(name) for name in networks]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ApplicationRun:
    """Every combination of its lists: synthetic sets, put to other uses than one network's training."""

    applications: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/applications")
    datasets: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/datasets")
    methods: Annotated[list[Name], Field(min_length=1)] = Field(description="files of params/methods")
    ipc: Annotated[list[Count], Field(min_length=1)] = Field(description="images per class")
    sets: JobCount = Field(description="synthetic sets of each kind")
    evaluations: Annotated[list[Name], Field(min_length=1)] = Field(description="how networks are trained on them")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experiment:
    """A params/experiments file."""

    title: str = Field(description="title of the report")
    description: str = Field(description="a line that says what the experiment asks, for the report and for lists")
    runs: Annotated[list[Run], Field(min_length=1)] = Field(description="what is run: every combination of each")
    reference: Annotated[Name, NeutralDefault("random")] = Field(description="the method that the report compares with")
    application_runs: Annotated[list[ApplicationRun] | None, NeutralDefault(None)] = Field(
        description="what else the sets are used for: every combination of each"
    )

    @field_validator("runs")
    @classmethod
    def _check_runs(cls, runs: list[Run]) -> list[Run]:
        scores = sum(run.num_scores for run in runs)
        if scores > MAX_SCORES:
            problem = f"ask for {scores} scores; the most allowed is {MAX_SCORES}, because every score is a job"
            raise ValueError(f"{problem}; split the experiment")
        return runs
