"""Rows and tables of papers as experiments: `dcpipe reproduce mtt-cifar10-ipc1`, `dcpipe reproduce --table ftd-1`.

A row's name joins method, dataset and images per class; `whole-cifar10` has none. Where a table tests on another
network than the dataset's, or by another protocol than is usual for the method, the name goes on with it. The preset's
`covers` says how its source prepares the dataset (whitened or not), published.yaml how the literature tests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from dcpipe.data import location
from dcpipe.errors import UserError
from dcpipe.params import params_files
from dcpipe.params.coverage import coverage
from dcpipe.params.params_files import InlineParams, InlineSections
from dcpipe.params.strict_yaml import Tree, Value
from dcpipe.provenance import staleness
from dcpipe.report import published as printed
from dcpipe.report.best_on_test import best_on_test
from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.published import WHOLE, PublishedCell, PublishedNumber
from dcpipe.workflow.graph import Graph


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A number that a table prints: a method on a dataset, images per class (None: all), and how it is tested."""

    method: str
    dataset: str
    ipc: int | None
    network: str
    protocol: str

    @property
    def name(self) -> str:
        """Its name in `dcpipe reproduce`."""
        parts = [self.method, self.dataset] + ([] if self.ipc is None else [f"ipc{self.ipc}"])
        if self.network != printed.native_network(self.dataset):
            parts.append(self.network)
        elif self.protocol != printed.usual_protocol(self.method):
            parts.append(self.protocol)
        return "-".join(parts)

    @property
    def numbers(self) -> tuple[PublishedNumber, ...]:
        """What tables print for it; none where a figure draws it."""
        found = printed.find_published_numbers(self.dataset, self.method, self.ipc or 1, self.network)
        return tuple(one for one in found.numbers if one.protocol == self.protocol) if found else ()

    @property
    def description(self) -> str:
        """Its numbers and where they are printed."""
        numbers = "; ".join(f"{one.text} ({one.source})" for one in self.numbers)
        return f"Papers print {numbers}." if numbers else "The paper shows its number only in a figure."


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row as it is run: on a variant of its dataset, by a protocol, with so many synthetic sets."""

    row: PaperRow
    dataset: str
    protocol: str
    sets: int

    @property
    def run_tree(self) -> Tree:
        """As a run of an experiment."""
        return {
            "datasets": [self.dataset],
            "methods": [self.row.method],
            "ipc": [self.row.ipc or 1],
            "sets": self.sets,
            "evaluations": [self.protocol],
            "networks": [_network(self.row)],
        }

    @property
    def description(self) -> str:
        """The dataset and protocol that are run, and the numbers that papers print."""
        sets = f"{self.sets} set{'' if self.sets == 1 else 's'}"
        return f"dataset {self.dataset}, protocol {self.protocol}, {sets}. {self.row.description}"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The experiment of one row, or of a table's: its definition, which params/ lacks, and why rows are left out.

    `command` runs all of it; `options` are those of its command line, for a row alone too.
    """

    name: str
    rows: tuple[PlannedRow, ...]
    left_out: tuple[PaperRow, ...]
    extra: InlineSections
    command: str
    options: str

    @property
    def descriptions(self) -> list[str]:
        """A line for each row, its command and what that is, and why others are left out."""
        commands = [f"dcpipe reproduce {one.row.name}{self.options}" for one in self.rows]
        width = max(map(len, commands))
        found = [f"{command:<{width}}  # {one.description}" for command, one in zip(commands, self.rows, strict=True)]
        if self.left_out:
            names = ", ".join(row.name for row in self.left_out)
            found.append(f"left out, because no source states their values: {names}")
        return found


def published_rows() -> dict[str, PaperRow]:
    """Every row that a table prints, by name."""
    return {row.name: row for row in sorted(map(_row, printed.published_cells()), key=_order)}


def tables() -> dict[str, tuple[PaperRow, ...]]:
    """Every table, by its name in `dcpipe reproduce --table`: its rows, each once, in the table's order."""
    found: dict[str, dict[PaperRow, None]] = {}
    for cell in printed.published_cells():
        found.setdefault(cell.table, {})[_row(cell)] = None
    return {name: tuple(members) for name, members in found.items()}


def find_row(root: Path, name: str) -> PaperRow:
    """The row of a name.

    Raises: UserError if no table prints it, or there is no preset of its method.
    """
    known = published_rows()
    if name not in known:
        hint = _hint(name, known, "choose a row of `dcpipe reproduce --list`")
        raise UserError(f"no paper's table has a row {name!r}", where="reproduce", remedy=hint)
    methods = {*params_files.available_names(root, "methods"), *printed.table_params()["methods"]}
    if known[name].method not in methods:
        problem, remedy = f"method {known[name].method!r} has no preset", f"choose one of: {', '.join(sorted(methods))}"
        raise UserError(problem, where=f"reproduce {name}", remedy=remedy)
    return known[name]


def find_table(name: str) -> tuple[PaperRow, ...]:
    """The rows of a table. Raises: UserError if there is no table of this name."""
    known = tables()
    if name not in known:
        hint = _hint(name, known, f"choose one of: {', '.join(known)}")
        raise UserError(f"there is no table {name!r}", where="reproduce --table", remedy=hint)
    return known[name]


def reproduction(root: Path, row: PaperRow, *, sets: int | None = None, protocol: str | None = None) -> Reproduction:
    """The experiment of a row: as many synthetic sets as the literature makes, by its protocol, unless told otherwise.

    Raises: UserError if no source states the preset's values for the row.
    """
    return _make_reproduction(row.name, [_planned(root, row, sets, protocol)], (), row.name, _options(sets, protocol))


def table_reproduction(root: Path, name: str, *, sets: int | None = None, protocol: str | None = None) -> Reproduction:
    """The experiment of a whole table; rows whose values no source states are left out, and named.

    Raises: UserError if there is no such table, or none of its rows can be run.
    """
    planned, refused = list[PlannedRow](), dict[PaperRow, UserError]()
    for row in [find_row(root, one.name) for one in find_table(name)]:
        try:
            planned.append(_planned(root, row, sets, protocol))
        except UserError as error:
            refused[row] = error
    if not planned:
        raise next(iter(refused.values()))
    return _make_reproduction(f"table-{name}", planned, tuple(refused), f"--table {name}", _options(sets, protocol))


def row_lines(root: Path) -> list[str]:
    """Every row, its printed numbers, and whether it can be run; below them the tables, and what no row can be."""
    table = [f"{'row':<44}{'printed %':<26}in"]
    for name, row in published_rows().items():
        texts = ", ".join(one.text for one in row.numbers) or "in a figure"
        sources = "; ".join(dict.fromkeys(cell.source for cell in printed.published_cells() if _row(cell) == row))
        table.append(f"{name:<44}{texts:<26}{sources}{_obstacle(root, row)}")
    names = ", ".join(f"{name} ({len(members)})" for name, members in tables().items())
    other = [f"{one.paper} {one.table}: {one.text}. No row: {one.reason}." for one in printed.statements()]
    return [*table, f"tables, and how many rows each has: {names}", *other]


def comparison_lines(graph: Graph, reproduction: Reproduction) -> list[str]:
    """Our numbers, and how far each is from the numbers that papers print for it.

    Where every snapshot was tested, also the best of them on test, which is what much of the literature prints.
    """
    cells = gather_cells(graph.make_job("report", experiment=reproduction.name), graph.root)
    return [line for one in reproduction.rows for line in _row_comparison_lines(one, cells)]


def dataset_variant(root: Path, row: PaperRow) -> str:
    """The row's dataset as its preset's source prepares it: the one of its variants whose cell that source covers.

    Raises: UserError if no source states the preset's values for the cell.
    """
    cells = coverage(root, row.method, printed.table_params())
    for name in (row.dataset, *printed.variants_of(row.dataset)):
        if cells.covers(name, row.ipc or 1):
            return name
    size = "" if row.ipc is None else f" at {row.ipc} image{'' if row.ipc == 1 else 's'} per class"
    problem = f"no source states the values of {row.method} on {row.dataset}{size}"
    remedy = "choose them in a preset and an experiment of your own, or list dataset and ipc under `covers`"
    raise UserError(problem, where=f"reproduce {row.name}", remedy=remedy)


def refuse_absent_data(graph: Graph, dataset: str) -> None:
    """Raises: UserError if the dataset is neither prepared nor where this machine keeps its sources."""
    if staleness.staleness_problem(graph.make_job("data", dataset=dataset), graph.root) is None:
        return
    source = graph.library.dataset(dataset)[1].source
    name = source.folder
    if name is None:
        return
    place = location.data_path(graph.root, name)
    if not source.is_at(place):
        remedy = f"put them there, or run `dcpipe data {dataset}`, which downloads public datasets"
        raise UserError(f"the images of {name} are missing", where=str(place), remedy=remedy)


def _row(cell: PublishedCell) -> PaperRow:
    return PaperRow(cell.method, cell.dataset, cell.ipc, cell.network, cell.protocol)


def _order(row: PaperRow) -> tuple[str, str, int, str, str]:
    return row.dataset, row.method, row.ipc or 0, row.network, row.protocol


def _hint(name: str, known: Mapping[str, object], otherwise: str) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def _network(row: PaperRow) -> str:
    return "native" if row.network == printed.native_network(row.dataset) else row.network


def _planned(root: Path, row: PaperRow, sets: int | None, protocol: str | None) -> PlannedRow:
    made = 1 if row.method == WHOLE else sets or printed.usual_set_count(row.protocol)
    return PlannedRow(row, dataset_variant(root, row), protocol or row.protocol, made)


def _options(sets: int | None, protocol: str | None) -> str:
    return (f" --sets {sets}" if sets else "") + (f" --protocol {protocol}" if protocol else "")


def _make_reproduction(
    name: str, planned: list[PlannedRow], left_out: tuple[PaperRow, ...], target: str, options: str
) -> Reproduction:
    command = f"dcpipe reproduce {target}"
    described = planned[0].row.description if len(planned) == 1 else f"{len(planned)} rows that one table prints."
    runs: list[Value] = [one.run_tree for one in planned]
    tree: Tree = {"title": name, "description": described, "runs": runs}
    extra: dict[str, dict[str, InlineParams]] = {"experiments": {name: InlineParams(command, tree, command)}}
    wanted = {"methods": {one.row.method for one in planned}, "evaluations": {one.protocol for one in planned}}
    for section, files in printed.table_params().items():
        extra[section] = {key: replace(one, command=command) for key, one in files.items() if key in wanted[section]}
    return Reproduction(name, tuple(planned), left_out, extra, command + options, options)


def _obstacle(root: Path, row: PaperRow) -> str:
    try:
        dataset_variant(root, find_row(root, row.name))
    except UserError as error:
        return f"; not run: {error.problem}"
    return ""


def _row_comparison_lines(planned: PlannedRow, cells: Iterable[Cell]) -> list[str]:
    row = planned.row
    place = (planned.dataset, row.method, row.ipc or 1, planned.protocol)
    ours = next(
        cell
        for cell in cells
        if (cell.dataset, cell.method, cell.ipc, cell.protocol) == place and cell.network == row.network
    )
    best = best_on_test(ours)
    head = (
        f"{row.name}: here {ours.mean:.1f} ± {ours.std:.1f} (n = {ours.n} networks, {planned.protocol}, finished sets)"
    )
    found = [f"  best snapshot on test: {best.text}"] if best else []
    if ours.unaveraged_accuracy is not None:
        found.append(f"  images before averaging: {ours.unaveraged_accuracy:.1f}")
    for number in row.numbers:
        against = f", best on test {best.cell.mean - number.mean:+.1f}" if best else ""
        found.append(f"  {number.source}: {number.text}, here {ours.mean - number.mean:+.1f} points{against}")
    return [head, *found]
