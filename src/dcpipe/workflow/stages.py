"""The stages: each says in one class where its artifact goes, what it reads, what can alter it, and who makes it.

To add a stage `robust`, write two files anywhere in the package: `robust_plan.py` with a subclass of `Stage` under
`@register_stage` (every module whose name ends in `_plan` is found and imported), and the module that it names as its
`implementation`, with `run(task)`. Nothing else lists stages: the graph, both engines and the command line ask
`STAGES`. In a package of your own, name the first file in your pyproject.toml:

    [project.entry-points."dcpipe.axes"]
    robust = "our_package.robust_plan"

Plans are neutral in code identity and import no torch; the implementation is imported when a job runs.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dcpipe.errors import UserError
from dcpipe.params.axis import load_values
from dcpipe.params.values import Values
from dcpipe.params.work import Work

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

DEFAULT_EXPERIMENT = "digits"
NAME = "[a-z0-9]+(?:-[a-z0-9]+)*"
CARD = "card"
SMALL = 4096  # bytes that a payload takes of which nothing more is said


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A part of a stage's paths: its name, what it may be, and the section of params whose files it names, if any."""

    name: str
    regex: str = NAME
    section: str = ""


EXPERIMENT = Wildcard("experiment", section="experiments")
DATASET = Wildcard("dataset", section="datasets")
EXPERTS = Wildcard("experts", section="experts")
METHOD = Wildcard("method", section="methods")
EVALUATION = Wildcard("evaluation", section="evaluations")
NETWORK = Wildcard("network")
WAYPOINTS = Wildcard("waypoints")
IPC = Wildcard("ipc", "[1-9][0-9]*")
SET = Wildcard("set", "[0-9]+")
SHARD = Wildcard("shard", "[0-9]+")


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """How Snakemake's report shows a payload: a caption in workflow/report/, a category, and labels with wildcards."""

    caption: str
    category: str
    subcategory: str | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """A file, or a folder, that a stage makes; `plot` names the columns to draw, along x and along y."""

    name: str
    file: str
    is_folder: bool = False
    is_metrics: bool = False
    plot: tuple[str, str] | None = None
    shown: ReportEntry | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job asks of a scheduler; `mem_mb` is the least, where its estimate (`Stage.work`) is below."""

    threads: int = 1
    mem_mb: int = 0
    runtime: int = 10  # minutes
    gpu: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One job's part of a stage: what it reads, what can alter its bytes, and what its implementation receives.

    `inputs` maps names to paths relative to the root; `values` are the params that can alter it; `roots` the modules
    that its params choose beside the implementation; `sections` the typed params; `resources` stand in for the stage's
    own, where params choose them.
    """

    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Iterable[Values] = ()
    roots: Iterable[str] = ()
    sections: Mapping[str, object] = field(default_factory=dict)
    resources: Resources | None = None


class Stage(ABC):
    """One stage of the graph. A job's label, paths and command have the same wildcards.

    Labels join names with `_`, which no name contains, so no two jobs can share one. `reads` names the stages whose
    artifacts its jobs may read; `resources` is the most that a job of it asks for. `numeric` says that its bits depend
    on the machine; `is_view` that it only shows artifacts of an experiment, and so has no card, stands outside DVC, and
    has `experiment` as its only wildcard.
    """

    name: str
    label: str
    folder: str
    payloads: tuple[Payload, ...]
    wildcards: tuple[Wildcard, ...]
    implementation: str
    command: str = ""  # empty: `dcpipe make FOLDER`
    reads: tuple[str, ...] = ()
    numeric: bool = False
    is_view: bool = False
    resources: Resources = Resources()

    @abstractmethod
    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """What the job of these wildcards is made of.

        Raises: UserError for unknown names, bad params or an impossible combination.
        """

    def final_jobs(self, _graph: "Graph", _experiment: str) -> Iterable[Mapping[str, str]]:
        """The jobs that an experiment has although no other job reads them, by their wildcards."""
        return ()

    def disk_bytes(self, _graph: "Graph", _job: "Job") -> int:
        """Bytes that a job's payloads take at most: before compression."""
        return SMALL

    def estimate_work(self, _graph: "Graph", _job: "Job") -> Work:
        """What a job holds in memory and computes, beside a process with its libraries: from the shapes alone."""
        return Work()

    def resources_with_threads(self, threads: int) -> Resources:
        """The stage's own resources with so many threads."""
        return replace(self.resources, threads=threads)

    def job_folder(self, wildcards: Mapping[str, str]) -> str:
        """The folder of a job."""
        return self.folder.format(**wildcards)

    def outputs(self, wildcards: Mapping[str, str]) -> dict[str, str]:
        """The paths of a job by name; the card comes last."""
        place = self.job_folder(wildcards)
        paths = {payload.name: f"{place}/{payload.file}" for payload in self.payloads}
        return paths if self.is_view else {**paths, CARD: f"{place}/card.json"}

    def payload(self, name: str) -> Payload | None:
        """A payload by its name; None for the card."""
        return next((payload for payload in self.payloads if payload.name == name), None)

    @property
    def patterns(self) -> dict[str, str]:
        """The paths with wildcards, by name."""
        return self.outputs({wildcard.name: f"{{{wildcard.name}}}" for wildcard in self.wildcards})

    @property
    def log(self) -> str:
        """Where the stage writes its log, with wildcards."""
        return f"logs/{self.name}/{self.label}.log"

    @property
    def costs_path(self) -> str:
        """Where the stage notes what it cost, with wildcards."""
        return f"costs/{self.label}.json"

    def command_of(self, wildcards: Mapping[str, str]) -> str:
        """The command line of a job, but for its log."""
        return (self.command or f"dcpipe make {self.folder}").format(**wildcards)

    def match(self, path: str) -> dict[str, str] | None:
        """The wildcards of the output, or folder of outputs, that a path is; None if it is neither."""
        found = (regex.fullmatch(path.rstrip("/")) for regex in self._regexes)
        return next((match.groupdict() for match in found if match), None)

    @cached_property
    def _regexes(self) -> tuple[re.Pattern[str], ...]:
        patterns = () if self.is_view else (*self.patterns.values(), self.folder)
        return tuple(re.compile(self._as_regex(pattern)) for pattern in patterns)

    def _as_regex(self, pattern: str) -> str:
        allowed, seen = {wildcard.name: wildcard.regex for wildcard in self.wildcards}, set[str]()

        def group(match: re.Match[str]) -> str:
            name = match.group(1)
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return f"(?P<{name}>{allowed[name]})"

        return re.sub(r"\\\{(\w+)\\\}", group, re.escape(pattern))


class Registry(Mapping[str, Stage]):
    """Every stage by its name, each after all that it reads; found when first asked for."""

    def __init__(self) -> None:
        self._registered: dict[str, Stage] = {}
        self._ordered: dict[str, Stage] = {}

    def __getitem__(self, name: str) -> Stage:
        return self._load_stages()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load_stages())

    def __len__(self) -> int:
        return len(self._load_stages())

    def add(self, stage: Stage) -> None:
        """Take a stage in. Raises: UserError if another one has its name."""
        other = self._registered.setdefault(stage.name, stage)
        if other is not stage:
            owners = f"{type(other).__module__} and {type(stage).__module__}"
            raise UserError(f"two stages are named {stage.name}", where=owners, remedy="give one another name")

    def _load_stages(self) -> dict[str, Stage]:
        if not self._ordered:
            package = Path(__file__).parents[1]
            for path in sorted(package.rglob("*_plan.py")):
                import_module(".".join((package.name, *path.relative_to(package).with_suffix("").parts)))
            load_values()  # ours before those of other packages, which are then named if they clash
            self._ordered = {name: self._registered[name] for name in self._order()}
        return self._ordered

    def _order(self) -> Iterator[str]:
        for stage in self._registered.values():
            unknown = sorted(set(stage.reads) - self._registered.keys())
            if unknown:
                where, remedy = f"reads of {type(stage).__module__}", f"name some of {', '.join(self._registered)}"
                raise UserError(f"there is no stage {unknown[0]!r}", where=where, remedy=remedy)
        sorter = TopologicalSorter({stage.name: stage.reads for stage in self._registered.values()})
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise UserError(
                "stages read each other in a circle", where=circle, remedy="change `reads` of one of them"
            ) from error
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            yield from ready
            sorter.done(*ready)


STAGES = Registry()
_Class = TypeVar("_Class", bound=type[Stage])


def register_stage(stage: _Class) -> _Class:
    """A decorator: take a class of stage into `STAGES`. Raises: UserError if another one has its name."""
    STAGES.add(stage())
    return stage


def wildcards() -> dict[str, str]:
    """What each wildcard may be, by its name. Raises: UserError if two stages disagree."""
    found: dict[str, str] = {}
    for stage in STAGES.values():
        for wildcard in stage.wildcards:
            if found.setdefault(wildcard.name, wildcard.regex) != wildcard.regex:
                problem = f"its wildcard {wildcard.name} has another pattern than in another stage"
                raise UserError(problem, where=f"the stage {stage.name}", remedy="give the wildcard another name")
    return found


def results_folder(experiment: str) -> str:
    """Where an experiment's views go: the default one's are in `results/` itself."""
    return "results" if experiment == DEFAULT_EXPERIMENT else f"results/{experiment}"


def match_stage(path: str) -> tuple[str, dict[str, str]] | None:
    """The stage whose output, or folder of outputs, a path is, with its wildcards; None if there is none."""
    for stage in STAGES.values():
        wildcards = stage.match(path)
        if wildcards is not None:
            return stage.name, wildcards
    return None
