"""Where a number comes from: the jobs behind it, their cards and commands, and what has changed since."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcpipe.errors import DcpipeError
from dcpipe.provenance import artifact, card
from dcpipe.provenance.card_fields import Card
from dcpipe.report.cells import JobCost, cost_of
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES

SHOWN = 3  # names before "and more"


@dataclass(frozen=True, slots=True)
class StageCost:
    """Time, memory and disk of the jobs of one kind: a stage, and its wildcards but shard and set."""

    stage: str
    kind: str
    jobs: tuple[Job, ...]
    costs: tuple[JobCost | None, ...]
    sizes: tuple[int | None, ...]  # bytes of each artifact, by its card; None: it is not here

    @property
    def unmeasured(self) -> list[str]:
        """The names of the jobs whose cost is not known."""
        return [job.name for job, cost in zip(self.jobs, self.costs, strict=True) if cost is None]

    @property
    def seconds(self) -> float | None:
        """Seconds of all jobs; None unless each was measured."""
        return None if self.unmeasured else round(sum(cost.seconds for cost in self.costs if cost), 3)

    @property
    def peak_bytes(self) -> int | None:
        """The peak memory of the largest job; None unless each was measured."""
        return None if self.unmeasured else max(cost.peak_bytes for cost in self.costs if cost)

    @property
    def devices(self) -> str | None:
        """The devices of the measured jobs."""
        return ", ".join(dict.fromkeys(cost.device for cost in self.costs if cost)) or None

    @property
    def bytes(self) -> int | None:
        """Bytes of the artifacts; None unless each is here."""
        known = [size for size in self.sizes if size is not None]
        return sum(known) if len(known) == len(self.sizes) else None


@dataclass(slots=True)
class Lineage:
    """Walks the graph and the cards below a root."""

    root: Path
    graph: Graph

    def chain(self, jobs: Iterable[Job]) -> list[Job]:
        """These jobs and every job that they need, in an order in which they can run."""
        ordered: dict[str, Job] = {}

        def visit(job: Job) -> None:
            if job.name not in ordered:
                for path in (path for paths in job.inputs.values() for path in paths):
                    visit(self.graph.job_that_makes(path))
                ordered[job.name] = job

        for job in jobs:
            visit(job)
        rows = list(STAGES)
        return sorted(ordered.values(), key=lambda job: rows.index(job.stage))

    def card(self, job: Job) -> Card | None:
        """A job's card; None if the artifact is not here."""
        try:
            return artifact.read_card(self.root / next(iter(job.outputs.values())))
        except DcpipeError:
            return None

    def differences(self, job: Job) -> list[str]:
        """Params, code and inputs that differ today from those in a job's card, as text for people."""
        made = self.card(job)
        if made is None:
            return ["its card is not here"]
        try:
            now = card.identity(job, self.root)
        except DcpipeError as error:
            return [f"an input is not here ({error.where})"]
        pairs = ((name, _flat(made.get(name)), _flat(now[name])) for name in ("params", "code", "inputs"))
        texts = []
        for name, then, today in pairs:
            names = sorted(key for key in then.keys() | today.keys() if then.get(key) != today.get(key))
            if names:
                texts.append(f"other {name} ({abbreviated(names)})")
        return texts

    def costs(self, jobs: Iterable[Job]) -> list[StageCost]:
        """Costs and sizes, the jobs of one kind together."""
        kinds: dict[tuple[str, str], list[Job]] = {}
        for job in jobs:
            kinds.setdefault((job.stage, _kind_text(job)), []).append(job)
        return [
            StageCost(
                stage=stage,
                kind=kind,
                jobs=tuple(members),
                costs=tuple(cost_of(job, self.root) for job in members),
                sizes=tuple(self._size(job) for job in members),
            )
            for (stage, kind), members in kinds.items()
        ]

    def _size(self, job: Job) -> int | None:
        made = self.card(job)
        return None if made is None else sum(entry.size for entry in artifact.card_entries(made))


def job_command(job: Job) -> str:
    """The command that makes a job's artifact by hand."""
    return job.command.split(" --log ")[0]


def _kind_text(job: Job) -> str:
    wildcards = {key: value for key, value in job.wildcards.items() if key not in {"shard", "set"}}
    return " ".join(f"{key} {value}" if key == "ipc" else value for key, value in wildcards.items())


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Leaves by name; an input is named by its path."""
    if isinstance(value, dict):
        leaves: dict[str, object] = {}
        for key, inner in value.items():
            leaves |= _flat(inner, f"{prefix}: {key}" if prefix else str(key))
        return leaves
    if isinstance(value, list) and value and all(isinstance(one, dict) and "path" in one for one in value):
        return {str(one["path"]): one["digest"] for one in value}
    return {prefix: value}


def abbreviated(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
