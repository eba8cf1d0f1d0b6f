"""What a report's tables say: headlines, every cell, costs; and the headlines as text for a terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcpipe.report.cells import BASELINE, Cell, Difference, differences, images, standard_error
from dcpipe.report.origins import Spent
from dcpipe.report.published import WHOLE, Number, Published, published
from dcpipe.report.table import Column, Kind, Table, Value

WIDTH = 100  # of a terminal
LEGACY = "legacy-max"
SUMMARY = (
    "dataset", "method", "ipc", "network", "protocol", "selection",
    "n", "mean", "std", "seconds", "peak_bytes", "digest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Against:
    """How far a cell is above a number that papers print. `error`: standard error of the difference, in points.

    Papers print a deviation and seldom how many numbers it is over, so that all of it counts as their error.
    """

    number: Number
    points: float
    error: float | None  # None: this cell's own is not known

    @property
    def errors(self) -> float | None:
        """The difference in standard errors; None if no spread is known."""
        return self.points / self.error if self.error else None

    @property
    def words(self) -> str:
        """The difference, in points and in standard errors."""
        errors = "" if self.errors is None else f", {abs(self.errors):.1f} SE"
        return f"{self.points:+.1f}{errors}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a headline table says of one cell."""

    cell: Cell
    difference: Difference | None
    printed: tuple[Against, ...]
    is_best: bool

    @property
    def words(self) -> str:
        """Mean, deviation and n."""
        return f"{self.cell.mean:.1f} ± {self.cell.std:.1f} ({self.cell.n})"


@dataclass(frozen=True, slots=True)
class Headline:
    """Methods by dataset and ipc under one protocol, selection rule and network: numbers that may be compared."""

    protocol: str
    selection: str
    network: str
    methods: tuple[tuple[str, str], ...]  # name and label
    columns: tuple[tuple[str, int], ...]  # dataset and ipc
    entries: dict[tuple[str, str, int], Entry]

    @property
    def warning(self) -> str | None:
        """What a reader must know before any number of it."""
        if self.selection != LEGACY:
            return None
        return (
            "These numbers select on test data: of several snapshots of a set, the one that does best on the test "
            "images is reported. They flatter every method, and stand here only to be compared with papers that do so."
        )

    @property
    def title(self) -> str:
        """Its three words."""
        return f"protocol {self.protocol}, selection {self.selection}, network {self.network}"

    def table(self) -> Table:
        """The same as a plain table."""
        columns = [Column("method"), *(Column(f"{dataset}, {images(ipc)}") for dataset, ipc in self.columns)]
        rows = [[label, *(self._words(name, *place) for place in self.columns)] for name, label in self.methods]
        caption = f"Test accuracy in percent: mean ± standard deviation (networks); {self.title}."
        name = f"headline-{self.protocol}-{self.selection}-{self.network}"
        return Table(name, f"{caption} {self.warning or ''}".strip(), tuple(columns), tuple(map(tuple, rows)))

    def _words(self, method: str, dataset: str, ipc: int) -> str | None:
        entry = self.entries.get((method, dataset, ipc))
        return entry.words if entry else None


def headlines(cells: Sequence[Cell]) -> list[Headline]:
    """One table for each protocol, selection rule and network; numbers of two are never in one."""
    gaps = differences(cells)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault((cell.protocol, cell.selection, cell.network), []).append(position)
    return [_headline(group, [(cells[i], gaps.get(i)) for i in rows]) for group, rows in groups.items()]


def _headline(group: tuple[str, str, str], rows: list[tuple[Cell, Difference | None]]) -> Headline:
    best: dict[tuple[str, int], float] = {}
    for cell, _ in rows:
        mean = cell.mean if cell.method != WHOLE else 0.0  # no synthetic set competes with all real images
        best[cell.dataset, cell.ipc] = max(mean, best.get((cell.dataset, cell.ipc), mean))
    entries = {
        (cell.method, cell.dataset, cell.ipc): Entry(
            cell, gap, against(cell), cell.mean == best[cell.dataset, cell.ipc]
        )
        for cell, gap in rows
    }
    methods = tuple(dict.fromkeys((cell.method, cell.label) for cell, _ in rows))
    return Headline(*group, methods, tuple(best), entries)


def beside(cell: Cell) -> Published | None:
    """What papers print for a cell, if they trained the same network."""
    found = published(cell.dataset, cell.method, cell.ipc)
    return found if found and found.network == cell.network else None


def against(cell: Cell) -> tuple[Against, ...]:
    """The cell beside every number that papers print for it; none where they trained another network."""
    found, own = beside(cell), standard_error(cell)
    numbers = found.numbers if found else ()
    return tuple(Against(n, cell.mean - n.mean, None if own is None else math.hypot(own, n.std)) for n in numbers)


def summary(cells: Sequence[Cell]) -> Table:
    """One row a cell, for programs."""
    rows = [
        (
            *(cell.dataset, cell.method, cell.ipc, cell.network, cell.protocol, cell.selection),
            *(cell.n, cell.mean, cell.std, cell.seconds, cell.peak_bytes, cell.digest),
        )
        for cell in cells
    ]
    return Table("summary", "Every cell.", tuple(map(Column, SUMMARY)), tuple(rows))


def every_cell(cells: Sequence[Cell]) -> Table:
    """One row a cell, for people; the papers' numbers have columns if they have any of these cells."""
    gaps, printed = differences(cells), [against(cell) for cell in cells]
    searched = any(cell.validation is not None for cell in cells)
    kinds: dict[str, Kind] = {"dataset": "text", "ipc": "count", "method": "text", "mean": "points", "std": "points"}
    kinds |= {"n": "count", "sets": "count", "above random": "points", "standard errors": "points", "over": "text"}
    kinds |= {"validation": "points"} if searched else {}
    kinds |= {"papers": "text", "above papers": "text", "printed in": "text"} if any(printed) else {}
    kinds |= {"protocol": "text", "selection": "text", "network": "text"}
    kinds |= {"time": "seconds", "peak memory": "bytes", "digest": "text"}
    rows: list[tuple[Value, ...]] = []
    for position, cell in enumerate(cells):
        gap = gaps.get(position)
        rows.append(
            (
                *(cell.dataset, cell.ipc, cell.label, cell.mean, cell.std, cell.n, len(cell.sets)),
                *((gap.points, gap.errors, f"{gap.count} {gap.over}") if gap else (None, None, None)),
                *((cell.validation,) if searched else ()),
                *(_papers(printed[position]) if any(printed) else ()),
                *(cell.protocol, cell.selection, cell.network, cell.seconds, cell.peak_bytes, cell.digest),
            )
        )
    caption = "Test accuracy in percent, pooled over sets and networks. Rows of different protocols do not compare."
    return Table("cells", caption, _columns(kinds), tuple(rows))


def _columns(kinds: Mapping[str, Kind]) -> tuple[Column, ...]:
    return tuple(Column(title, kind) for title, kind in kinds.items())


def _papers(found: Sequence[Against]) -> tuple[Value, ...]:
    if not found:
        return None, None, None
    parts = [(one.number.words, one.words, one.number.source) for one in found]
    return tuple(" / ".join(words) for words in zip(*parts, strict=True))


def cost(spent: Sequence[Spent]) -> Table:
    """What each kind of job cost, and what it left on disk."""
    kinds: dict[str, Kind] = {"stage": "text", "what": "text", "jobs": "count", "time": "seconds"}
    kinds |= {"peak memory": "bytes", "device": "text", "on disk": "bytes"}
    rows = [
        (one.stage, one.what, len(one.jobs), one.seconds, one.peak_bytes, one.devices or "not measured", _here(one))
        for one in spent
    ]
    caption = "What it cost: a row for each kind of job, its shards and sets together."
    return Table("costs", caption, _columns(kinds), tuple(rows))


def _here(spent: Spent) -> Value:
    return "not here" if spent.bytes is None else spent.bytes


def terminal(cells: Sequence[Cell]) -> str:
    """The headline tables as text of at most 100 columns."""
    return "\n\n".join(_block(headline) for headline in headlines(cells))


def _block(headline: Headline) -> str:
    lines = [("dataset", "ipc", "method", "accuracy % (n)", "above random", "seconds")]
    for dataset, ipc in headline.columns:
        for method, label in headline.methods:
            entry = headline.entries.get((method, dataset, ipc))
            if entry:
                seconds = entry.cell.seconds
                spent = "not measured" if seconds is None else f"{seconds:.1f}"
                lines.append((dataset, str(ipc), label, entry.words, _gap(entry), spent))
    limits = (20, 5, 22, 20, 16, 12)  # 95 columns, and a space between them
    cut = [[_cut(word, limit) for word, limit in zip(line, limits, strict=True)] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    rows = [
        " ".join(_pad(i, word, width) for i, (word, width) in enumerate(zip(line, widths, strict=True))) for line in cut
    ]
    warning = ["SELECTED ON TEST DATA: only to be compared with papers that do so"] if headline.warning else []
    return "\n".join([headline.title[:WIDTH], *warning, *(row.rstrip() for row in rows)])


def _gap(entry: Entry) -> str:
    if entry.difference is None:
        return "baseline" if entry.cell.method == BASELINE else "no baseline"
    errors = entry.difference.errors
    return f"{entry.difference.points:+.1f}" + (f" ({errors:.1f} SE)" if errors is not None else "")


def _cut(word: str, limit: int) -> str:
    return word if len(word) <= limit else f"{word[: limit - 2]}.."


def _pad(column: int, word: str, width: int) -> str:
    return word.ljust(width) if column in {0, 2} else word.rjust(width)
