"""Applications in a report: continual learning step by step, and how well a set ranks architectures."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev

from dcpipe.params.application import Application
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.provenance.json_value import JsonValue
from dcpipe.report import charts
from dcpipe.report.cells import cost_of, images_phrase
from dcpipe.report.charts import Line
from dcpipe.report.figures import Chart, file_name
from dcpipe.report.published import WHOLE
from dcpipe.report.ranks import spearman
from dcpipe.report.table import Column, Table, Value
from dcpipe.workflow.job import Job

TOPS = (5, 10, 20)  # best candidates whose ranking is compared by itself, as in FTD's table 5
WORST = -math.inf  # in place of the accuracy of a network that diverged


@dataclass(frozen=True, slots=True)
class ApplicationResult:
    """What the sets of one kind did in an application: the results of all parts of all sets, and the set of each."""

    application: str
    dataset: str
    method: str
    label: str
    ipc: int
    protocol: str
    task: str
    reference: str | None  # of a search: the protocol under which the whole training set ranks
    results: tuple[JsonValue, ...]
    sets: tuple[str, ...]
    seconds: float | None  # None unless every part was measured

    @property
    def images_per_class(self) -> int | None:
        """Images per class; None: all real ones."""
        return None if self.method == WHOLE else self.ipc


@dataclass(frozen=True, slots=True)
class IncrementalStep:
    """One step of class-incremental learning: how many classes were seen, and the accuracies of all networks."""

    seen: int
    accuracies: tuple[float, ...]


def gather_application_results(jobs: Sequence[Job], root: Path) -> list[ApplicationResult]:
    """The results of an experiment's applications, in its order.

    Raises: CorruptArtifactError naming a file whose bytes differ from its card.
    """
    kinds: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        key = tuple(job.wildcards[name] for name in ("application", "dataset", "ipc", "evaluation", "method"))
        kinds.setdefault(key, []).append(job)
    return [_application_result(members, root) for members in kinds.values()]


def _application_result(jobs: Sequence[Job], root: Path) -> ApplicationResult:
    first, costs = jobs[0], [cost_of(job, root) for job in jobs]
    paths = [artifact.verify_payload(root / job.outputs["results"]) for job in jobs]
    task = first.section("application", Application).task
    return ApplicationResult(
        application=first.wildcards["application"],
        dataset=first.wildcards["dataset"],
        method=first.wildcards["method"],
        label=first.section("method", Method).label,
        ipc=int(first.wildcards["ipc"]),
        protocol=first.wildcards["evaluation"],
        task=task.kind,
        reference=task.reference_protocol,
        results=tuple(JsonValue(json.loads(path.read_text()), str(path)) for path in paths),
        sets=tuple(job.wildcards["set"] for job in jobs),
        seconds=None if None in costs else sum(cost.seconds for cost in costs if cost),
    )


def steps_of(application: ApplicationResult) -> list[IncrementalStep]:
    """The steps of class-incremental learning, all orders, networks and sets pooled.

    Where two orders have seen the same classes of a set they have trained the same networks, which count once: after
    the last step, those of one order.
    """
    pooled: dict[int, dict[tuple[str, frozenset[float]], tuple[float, ...]]] = {}
    for index, result in zip(application.sets, application.results, strict=True):
        seen = frozenset[float]()
        for step in result["steps"].elements():
            seen |= frozenset(step["classes"].numbers())
            pooled.setdefault(len(seen), {})[index, seen] = tuple(step["accuracies"].numbers())
    return [
        IncrementalStep(count, tuple(value for found in pooled[count].values() for value in found))
        for count in sorted(pooled)
    ]


def incremental_table(applied: Iterable[ApplicationResult]) -> Table | None:
    """Every step of every method; None where there is none."""
    rows = [
        (
            *(one.application, one.dataset, images_phrase(one.images_per_class), one.label, one.protocol, step.seen),
            *(fmean(step.accuracies), pstdev(step.accuracies), len(step.accuracies)),
        )
        for one in applied
        if one.task == "class-incremental"
        for step in steps_of(one)
    ]
    columns = (
        *(Column("application"), Column("dataset"), Column("memory"), Column("method"), Column("protocol")),
        *(Column("classes seen", "count"), Column("mean", "points"), Column("std", "points"), Column("n", "count")),
    )
    caption = (
        "Class-incremental learning: test accuracy in percent on the classes seen so far, of fresh networks trained on "
        "the images of these classes alone; over all orders of the classes, networks and sets."
    )
    return Table("continual-learning", caption, columns, tuple(rows)) if rows else None


def incremental_charts(applied: Iterable[ApplicationResult]) -> list[Chart]:
    """Accuracy against classes seen, a chart for each application, dataset, memory and protocol.

    All real images, the ceiling, are in each chart of their protocol.
    """
    groups: dict[tuple[str, str, str], list[ApplicationResult]] = {}
    for one in applied:
        if one.task == "class-incremental":
            groups.setdefault((one.application, one.dataset, one.protocol), []).append(one)
    return [chart for key, members in groups.items() for chart in _group_charts(key, members)]


def _group_charts(key: tuple[str, str, str], members: Sequence[ApplicationResult]) -> Iterator[Chart]:
    sizes: list[int | None] = [*sorted({one.ipc for one in members if one.images_per_class is not None})]
    for ipc in sizes or [None]:
        drawn = [one for one in members if one.images_per_class in {ipc, None}]
        lines = [
            Line(one.label, [(float(step.seen), fmean(step.accuracies)) for step in steps_of(one)], colour)
            for colour, one in enumerate(drawn)
        ]
        memory = images_phrase(ipc)
        yield charts.line_chart(
            file_name("continual", *key, memory.partition(" ")[0]),
            f"{key[0]}: {key[1]}, {memory}, protocol {key[2]}",
            lines,
            x_label="classes seen",
            y_label="test accuracy in percent",
        )


def candidate_means(application: ApplicationResult) -> dict[str, float]:
    """The mean accuracy of every candidate over networks and sets; one that diverged anywhere is worst."""
    found: dict[str, list[float]] = {}
    for result in application.results:
        for candidate in result["candidates"].elements():
            accuracies = candidate["accuracies"]
            values = [WORST] if accuracies.value is None else accuracies.numbers()
            found.setdefault(candidate["network"].text(), []).extend(values)
    return {name: fmean(values) for name, values in found.items()}


def search_table(applied: Sequence[ApplicationResult]) -> Table | None:
    """How each method's ranking of the candidates agrees with the one by all real images; None without a search."""
    searches = [one for one in applied if one.task == "architecture-search"]
    real = {
        (one.application, one.dataset): candidate_means(one)
        for one in searches
        if one.method == WHOLE and one.protocol == one.reference
    }
    rows = [_search_row(one, real[one.application, one.dataset]) for one in searches]
    tops = [Column(f"{by} top {top}", "number") for by in ("real", "own") for top in TOPS]
    columns = (
        *(Column("application"), Column("dataset"), Column("images"), Column("method"), Column("protocol")),
        *(Column("candidates", "count"), Column("all", "number"), *tops),
        *(Column("its choice"), Column("accuracy of its choice", "points"), Column("time", "seconds")),
    )
    caption = (
        "Architecture search: Spearman's rank correlation of the candidates' test accuracies with those of networks "
        "trained on all real images under the reference protocol; over all candidates, and over the best by the real "
        "and by the method's own ranking (papers do not say which they mean). Its choice: the candidate that does best "
        "on the set; its accuracy is the one with all real images."
    )
    return Table("architecture-search", caption, columns, tuple(rows)) if rows else None


def _search_row(result: ApplicationResult, real: Mapping[str, float]) -> tuple[Value, ...]:
    own = candidate_means(result)
    names = sorted(own)
    by_real, by_own = (sorted(names, key=lambda name: (-means[name], name)) for means in (real, own))
    choice = by_own[0]
    return (
        *(
            result.application,
            result.dataset,
            images_phrase(result.images_per_class),
            result.label,
            result.protocol,
            len(names),
        ),
        _agreement(names, own, real),
        *(_agreement(ranking[:top], own, real) for ranking in (by_real, by_own) for top in TOPS),
        *(choice, real[choice], result.seconds),
    )


def _agreement(names: Sequence[str], own: Mapping[str, float], real: Mapping[str, float]) -> float | None:
    return spearman([own[name] for name in names], [real[name] for name in names])
