"""The page: everything a reader of an experiment wants to see, in one file that needs nothing else."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcpipe.errors import UserError
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.provenance import artifact
from dcpipe.report import curves, figures, origins, paths
from dcpipe.report.cells import BASELINE, Cell, EvaluatedSet, differences, images
from dcpipe.report.figures import Picture
from dcpipe.report.findings import findings
from dcpipe.report.origins import Json, Origins, Spent
from dcpipe.report.published import references
from dcpipe.report.table import Table, duration, size
from dcpipe.report.tables import Headline, beside, headlines
from dcpipe.workflow.job import Job

if TYPE_CHECKING:
    from jinja2 import Environment

SETS = 3  # pictures of a cell, at most
CELL_PIXELS, PAGE_PIXELS = 2**18, 2**21  # of pictures: a cell's first set, and the first sets of all cells


@dataclass(frozen=True, slots=True)
class Shown:
    """One synthetic set on the page; no picture if only its path is named."""

    index: int
    path: str
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """The sets of one method, dataset and ipc: pictures, and curves by quantity."""

    cell: Cell
    sets: tuple[Shown, ...]
    curves: tuple[tuple[str, str], ...]  # title and SVG

    @property
    def drawn(self) -> list[int]:
        """The numbers of the sets."""
        return [one.index for one in self.sets]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one cell comes from."""

    cell: Cell
    sets: tuple[tuple[EvaluatedSet, str, str], ...]  # with the classes it was made and evaluated on
    params: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]  # title; file, key, value
    inputs: tuple[tuple[str, str], ...]
    code: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def render(job: Job, cells: Sequence[Cell], tables: Sequence[Table], spent: Sequence[Spent], sources: Origins) -> str:
    """The page's HTML.

    Raises: CorruptArtifactError naming an artifact that is not what was written; UserError if jinja2 is missing.
    """
    experiment = job.sections["experiment"]
    assert isinstance(experiment, Experiment)  # noqa: S101 (the graph put it there)
    heads, chain = headlines(cells), sources.chain([sources.graph.maker(path) for path in job.inputs["metrics"]])
    galleries = _galleries(cells, sources)
    template = _environment().get_template("page.html")
    return template.render(
        experiment=experiment,
        name=job.wildcards["experiment"],
        command=origins.command(job),
        facts=_facts(cells, spent),
        headlines=[(head, _protocol(head), _runs(head)) for head in heads],
        tables={table.name: table for table in tables},
        downloads=[(table, _uri(table.csv(), "text/csv"), _uri(table.latex(), "text/x-tex")) for table in tables],
        findings=findings(cells, spent, chain, sources),
        galleries=galleries,
        accuracies=curves.drawn(cells),
        paths=paths.accuracies(spent, sources),
        provenance=[_provenance(cell, sources) for cell in cells],
        gaps=differences(cells),
        baseline=BASELINE,
        images=images,
        papers=references() if any(map(beside, cells)) else {},
    )


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        remedy = "install it with `pip install dcpipe[report]`"
        raise UserError("the report needs jinja2", where="report", remedy=remedy) from error
    loader = PackageLoader("dcpipe.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _facts(cells: Sequence[Cell], spent: Sequence[Spent]) -> list[tuple[str, str]]:
    known = [one.seconds for one in spent if one.seconds is not None]
    sizes = [one.bytes for one in spent if one.bytes is not None]
    devices = list(dict.fromkeys(cost.device for one in spent for cost in one.costs if cost))
    return [
        ("cells", str(len(cells))),
        ("synthetic sets", str(len({one.made.name for cell in cells for one in cell.sets}))),
        ("networks trained", str(sum(cell.n for cell in cells))),
        ("time", _partly(duration(sum(known)) if known else "not measured", len(known), len(spent))),
        ("on disk", _partly(size(sum(sizes)) if sizes else "nothing here", len(sizes), len(spent))),
        ("device", ", ".join(devices) or "not measured"),
    ]


def _partly(text: str, known: int, every: int) -> str:
    return text if known in {0, every} else f"at least {text}"


def _protocol(head: Headline) -> list[str]:
    """The protocol as resolved, a line for each dataset and ipc that has its own."""
    lines: dict[str, list[str]] = {}
    for entry in head.entries.values():
        what = entry.cell.sets[0].scored.sections["evaluation"]
        assert isinstance(what, Evaluation)  # noqa: S101 (the graph put it there)
        rate = what.learning_rate.phrase
        line = (
            f"{what.networks} network{'s' if what.networks > 1 else ''} a set, {what.epochs} epochs, "
            f"batch {what.batch}, {rate}, momentum {what.momentum:g}, weight decay {what.weight_decay:g}"
        )
        lines.setdefault(line, []).append(f"{entry.cell.dataset} {images(entry.cell.ipc)}")
    sets = [one for entry in head.entries.values() for one in entry.cell.sets]
    chosen = sorted({one.searched_rate for one in sets if one.searched_rate is not None})
    told = [f"Rates that validation images chose: {', '.join(f'{rate:g}' for rate in chosen)}."] if chosen else []
    if len(lines) == 1:
        return [*lines, *told]
    return told + [f"{', '.join(dict.fromkeys(places))}: {line}" for line, places in lines.items()]


def _runs(head: Headline) -> list[tuple[str, str]]:
    drawn = []
    for dataset, ipc in head.columns:
        cells = [
            head.entries[name, dataset, ipc].cell for name, _ in head.methods if (name, dataset, ipc) in head.entries
        ]
        baseline = next((cell.mean for cell in cells if cell.method == BASELINE), None)
        drawn.append((f"{dataset}, {images(ipc)}", figures.runs(cells, baseline)))
    return drawn


def _galleries(cells: Sequence[Cell], sources: Origins) -> list[Gallery]:
    """One for each kind of synthetic set, whatever it was evaluated by."""
    kinds = list({(cell.dataset, cell.ipc, cell.method): cell for cell in reversed(cells)}.values())[::-1]
    budget = min(CELL_PIXELS, PAGE_PIXELS // len(kinds))
    return [_gallery(cell, sources, budget) for cell in kinds]


def _gallery(cell: Cell, sources: Origins, budget: int) -> Gallery:
    from dcpipe.data import store

    shown, histories = [], []
    for position, one in enumerate(cell.sets):
        path, picture = one.made.outputs["synthetic"], None
        if position < SETS:
            whitening = one.made.inputs.get("whitening")
            whitened_by = artifact.checked(sources.root / whitening[0]) if whitening else None
            transform = store.transform(artifact.checked(sources.root / one.made.input("train")), whitened_by)
            pixels = budget if position == 0 else budget // 4
            picture = figures.picture(sources.root / path, transform, pixels)
        shown.append(Shown(one.index, path, picture))
        histories.append((one.index, figures.history(artifact.checked(sources.root / one.made.outputs["history"]))))
    curves = []
    for name, title in figures.QUANTITIES.items():
        series = [(index, found[name]) for index, found in histories if name in found]
        if len({value for _, points in series for _, value in points}) > 1:  # a fixed step size is no curve
            curves.append((title, figures.curve(name, series)))
    return Gallery(cell, tuple(shown), tuple(curves))


def _provenance(cell: Cell, sources: Origins) -> Provenance:
    made = [_card(one.made, sources) for one in cell.sets]
    scored = [_card(one.scored, sources) for one in cell.sets]
    chain = sources.chain([one.scored for one in cell.sets])
    rows = zip(cell.sets, made, scored, strict=True)
    return Provenance(
        cell=cell,
        sets=tuple((one, origins.class_of(first), origins.class_of(second)) for one, first, second in rows),
        params=tuple([*_params("Distillation", cell, made), *_params("Evaluation", cell, scored)]),
        inputs=tuple(dict.fromkeys(row for found in [*made, *scored] for row in origins.inputs_of(found))),
        code=tuple(dict.fromkeys(row for found in [*made, *scored] for row in origins.code_of(found))),
        commands=tuple(origins.command(job) for job in chain),
    )


def _card(job: Job, sources: Origins) -> Json:
    return artifact.read_card(sources.root / next(iter(job.outputs.values())))


def _params(title: str, cell: Cell, cards: Sequence[Json]) -> list[tuple[str, tuple[tuple[str, str, str], ...]]]:
    """Once if all sets have the same, else a table a set."""
    found: dict[str, tuple[list[int], Json]] = {}
    for one, made in zip(cell.sets, cards, strict=True):
        key = json.dumps(made.get("params"), sort_keys=True)
        found.setdefault(key, ([], made))[0].append(one.index)
    if len(found) == 1:
        return [(title, tuple(origins.params_of(cards[0])))]
    return [
        (f"{title}, set {', '.join(map(str, sets))}", tuple(origins.params_of(made))) for sets, made in found.values()
    ]


def _uri(text: str, kind: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
