"""The page: results, images, charts, costs and provenance of an experiment, in one file that needs nothing else."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.provenance import artifact, card_fields
from dcpipe.provenance.card_fields import Card
from dcpipe.report import charts, curves, histories, origins, paths, pictures, planes
from dcpipe.report.baseline import BASELINE
from dcpipe.report.cells import Cell, EvaluatedSet, images_phrase
from dcpipe.report.class_names import class_names
from dcpipe.report.figures import FOLDER, Chart, file_name
from dcpipe.report.findings import findings
from dcpipe.report.origins import Lineage, StageCost
from dcpipe.report.pictures import SetPreview
from dcpipe.report.published import references
from dcpipe.report.table import Table, duration, format_bytes
from dcpipe.report.tables import Headline, headlines, published_numbers, reference_label
from dcpipe.workflow.job import Job

if TYPE_CHECKING:
    from jinja2 import Environment

SETS = 3  # pictures of a cell, at most
CELL_PIXELS, PAGE_PIXELS = 2**18, 2**21  # of pictures: a cell's first set, and the first sets of all cells


@dataclass(frozen=True, slots=True)
class SetView:
    """One synthetic set on the page; no picture if only its path is named."""

    index: int
    path: str
    picture: SetPreview | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """The sets of one method, dataset and ipc: pictures, and curves by quantity."""

    cell: Cell
    sets: tuple[SetView, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class ApplicationCharts:
    """Charts of what sets are good for beside one network: continual learning, and accuracy against stored bytes."""

    continual: tuple[Chart, ...] = ()
    by_bytes: tuple[Chart, ...] = ()


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The page's HTML, and the charts on it in their order."""

    html: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class CellProvenance:
    """Where one cell comes from."""

    cell: Cell
    sets: tuple[tuple[EvaluatedSet, str, str], ...]  # with the classes it was made and evaluated on
    params: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]  # title; file, key, value
    inputs: tuple[tuple[str, str], ...]
    code: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def render_page(
    job: Job,
    cells: Sequence[Cell],
    tables: Sequence[Table],
    costs: Sequence[StageCost],
    sources: Lineage,
    applications: ApplicationCharts,
) -> RenderedPage:
    """The page, with its charts.

    Raises: CorruptArtifactError naming an artifact whose bytes differ from its card.
    """
    experiment = job.section("experiment", Experiment)
    heads, chain = (
        headlines(cells, experiment.reference),
        sources.chain([sources.graph.job_that_makes(path) for path in job.inputs["metrics"]]),
    )
    networks = [(head, _network_charts(head)) for head in heads]
    galleries, accuracies = _galleries(cells, sources), curves.accuracy_charts(cells)
    experts, in_planes = paths.trajectory_accuracy_charts(costs, sources), [*planes.plane_charts(costs, sources)]
    drawn = [chart for _, group in networks for _, chart in group]
    drawn += [chart for one in accuracies for chart in (one.by_iteration, one.by_seconds) if chart]
    drawn += [chart for gallery in galleries for chart in gallery.charts] + experts + in_planes
    drawn += [*applications.continual, *applications.by_bytes]
    html = (
        _environment()
        .get_template("page.html")
        .render(
            experiment=experiment,
            name=job.wildcards["experiment"],
            command=origins.job_command(job),
            facts=_facts(cells, costs),
            headlines=[(head, _protocol(head)) for head in heads],
            networks=networks,
            tables={table.name: table for table in tables},
            downloads=[(table, _uri(table.csv(), "text/csv"), _uri(table.latex(), "text/x-tex")) for table in tables],
            findings=findings(cells, costs, chain, sources),
            galleries=galleries,
            accuracies=accuracies,
            experts=experts,
            planes=in_planes,
            applications=applications,
            drawn=drawn,
            figures=FOLDER,
            provenance=[_provenance(cell, sources) for cell in cells],
            baseline=BASELINE,
            reference=reference_label(experiment.reference, cells),
            cross=[table for table in tables if table.name.startswith("cross-architecture-")],
            robust=next((table for table in tables if table.name == "robust"), None),
            comparison=next((table for table in tables if table.name == f"comparison-{experiment.reference}"), None),
            images=images_phrase,
            papers=references() if any(map(published_numbers, cells)) else {},
        )
    )
    return RenderedPage(html, tuple(drawn))


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("dcpipe.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _facts(cells: Sequence[Cell], costs: Sequence[StageCost]) -> list[tuple[str, str]]:
    known = [one.seconds for one in costs if one.seconds is not None]
    sizes = [one.bytes for one in costs if one.bytes is not None]
    devices = list(dict.fromkeys(cost.device for one in costs for cost in one.costs if cost))
    return [
        ("cells", str(len(cells))),
        ("synthetic sets", str(len({one.distillation.name for cell in cells for one in cell.sets}))),
        ("networks trained", str(sum(cell.n for cell in cells))),
        ("time", _at_least_text(duration(sum(known)) if known else "not measured", len(known), len(costs))),
        ("on disk", _at_least_text(format_bytes(sum(sizes)) if sizes else "nothing here", len(sizes), len(costs))),
        ("device", ", ".join(devices) or "not measured"),
    ]


def _at_least_text(text: str, known: int, every: int) -> str:
    return text if known in {0, every} else f"at least {text}"


def _protocol(headline: Headline) -> list[str]:
    """The protocol as resolved, a line for each dataset and ipc that has its own."""
    lines: dict[str, list[str]] = {}
    for entry in headline.entries.values():
        config = entry.cell.sets[0].evaluation.section("evaluation", Evaluation)
        rate = config.learning_rate.report_text
        line = (
            f"{config.networks} network{'s' if config.networks > 1 else ''} a set, {config.epochs} epochs, "
            f"batch {config.batch}, {rate}, momentum {config.momentum:g}, weight decay {config.weight_decay:g}"
        )
        lines.setdefault(line, []).append(f"{entry.cell.dataset} {images_phrase(entry.cell.images_per_class)}")
    sets = [one for entry in headline.entries.values() for one in entry.cell.sets]
    chosen = sorted({one.searched_rate for one in sets if one.searched_rate is not None})
    rates = (
        [f"Learning rates chosen on validation images: {', '.join(f'{rate:g}' for rate in chosen)}."] if chosen else []
    )
    if len(lines) == 1:
        return [*lines, *rates]
    return rates + [f"{', '.join(dict.fromkeys(places))}: {line}" for line, places in lines.items()]


def _network_charts(headline: Headline) -> list[tuple[str, Chart]]:
    """A chart a column, with its title."""
    drawn = []
    for dataset, ipc in headline.columns:
        cells = [entry.cell for entry in headline.column(dataset, ipc)]
        baseline = next((cell.mean for cell in cells if cell.method == BASELINE), None)
        column = "all" if ipc is None else f"ipc{ipc}"
        name = file_name("networks", headline.protocol, headline.selection, headline.network, dataset, column)
        title = f"{dataset}, {images_phrase(ipc)}"
        drawn.append((title, charts.network_scores_chart(name, f"{title}, {headline.title}", cells, baseline)))
    return drawn


def _galleries(cells: Sequence[Cell], sources: Lineage) -> list[Gallery]:
    """One for each kind of synthetic set, whatever it was evaluated by."""
    kinds = list({(cell.dataset, cell.ipc, cell.method): cell for cell in reversed(cells)}.values())[::-1]
    datasets = list(dict.fromkeys(cell.dataset for cell in kinds))
    kinds.sort(key=lambda cell: (datasets.index(cell.dataset), cell.images_per_class is None))
    budget = min(CELL_PIXELS, PAGE_PIXELS // len(kinds))
    return [_gallery(cell, sources, budget) for cell in kinds]


def _gallery(cell: Cell, sources: Lineage, budget: int) -> Gallery:
    from dcpipe.data import store

    shown, recorded = [], {}
    for position, one in enumerate(cell.sets):
        path, picture = one.distillation.outputs["synthetic"], None
        if position < SETS:
            train, whitening = one.distillation.input("train"), one.distillation.inputs.get("whitening")
            whitened_by = artifact.verify_payload(sources.root / whitening[0]) if whitening else None
            transform = store.load_transform(artifact.verify_payload(sources.root / train), whitened_by)
            prepared = sources.graph.job_that_makes(train)
            names = class_names(prepared, sources.card(prepared))
            picture = pictures.picture(sources.root / path, transform, budget if position == 0 else budget // 4, names)
        shown.append(SetView(one.index, path, picture))
        recorded[one.index] = histories.read_curves(
            artifact.verify_payload(sources.root / one.distillation.outputs["history"])
        )
    return Gallery(cell, tuple(shown), histories.history_charts(cell, recorded))


def _provenance(cell: Cell, sources: Lineage) -> CellProvenance:
    distilled = [_card(one.distillation, sources) for one in cell.sets]
    evaluated = [_card(one.evaluation, sources) for one in cell.sets]
    chain = sources.chain([one.evaluation for one in cell.sets])
    rows = zip(cell.sets, distilled, evaluated, strict=True)
    return CellProvenance(
        cell=cell,
        sets=tuple((one, _machine(first), _machine(second)) for one, first, second in rows),
        params=tuple([*_params("Distillation", cell, distilled), *_params("Evaluation", cell, evaluated)]),
        inputs=tuple(dict.fromkeys(row for card in [*distilled, *evaluated] for row in card_fields.inputs_of(card))),
        code=tuple(dict.fromkeys(row for card in [*distilled, *evaluated] for row in card_fields.code_of(card))),
        commands=tuple(origins.job_command(job) for job in chain),
    )


def _card(job: Job, sources: Lineage) -> Card:
    return artifact.read_card(sources.root / next(iter(job.outputs.values())))


def _machine(card: Card) -> str:
    return ", ".join(f"{name} {version}" for name, version in card_fields.machine_of(card).items())


def _params(title: str, cell: Cell, cards: Sequence[Card]) -> list[tuple[str, tuple[tuple[str, str, str], ...]]]:
    """Once if all sets have the same, else a table per set."""
    kinds: dict[str, tuple[list[int], Card]] = {}
    for one, made in zip(cell.sets, cards, strict=True):
        key = json.dumps(made.get("params"), sort_keys=True)
        kinds.setdefault(key, ([], made))[0].append(one.index)
    if len(kinds) == 1:
        return [(title, tuple(card_fields.params_of(cards[0])))]
    return [
        (f"{title}, set {', '.join(map(str, sets))}", tuple(card_fields.params_of(made)))
        for sets, made in kinds.values()
    ]


def _uri(text: str, kind: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
