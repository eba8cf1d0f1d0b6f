"""The report's tables: headlines, every cell, costs; and the headlines as text for a terminal."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dcpipe.distillation.pixel_range import describe_range
from dcpipe.report.baseline import BASELINE
from dcpipe.report.best_on_test import BestOnTest, best_on_test
from dcpipe.report.cells import Cell, best_methods, differences, images_phrase, standard_error
from dcpipe.report.comparison import Difference
from dcpipe.report.origins import StageCost
from dcpipe.report.published import PublishedNumber, PublishedNumbers, find_published_numbers
from dcpipe.report.table import Column, Kind, Table, Value

TIE = "="  # behind the accuracy of what does not differ from the reference
MARK = "! "  # before the accuracy of images with pixels far out of range
WIDTH = 100  # of a terminal
LEGACY = "legacy-max"
SUMMARY = (
    "dataset", "method", "ipc", "network", "protocol", "selection",
    "n", "mean", "std", "seconds", "peak_bytes", "digest", "pixel_low", "pixel_high",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PaperGap:
    """How far a cell is above a number that papers print. `error`: standard error of the difference, in points.

    Papers print a deviation and rarely the number of runs behind it, so the whole deviation counts as their error.
    """

    number: PublishedNumber
    points: float
    error: float | None  # None: this cell's own is not known

    @property
    def standard_errors(self) -> float | None:
        """The difference in standard errors; None if no spread is known."""
        return self.points / self.error if self.error else None

    @property
    def text(self) -> str:
        """The difference, in points and in standard errors."""
        errors = "" if self.standard_errors is None else f", {abs(self.standard_errors):.1f} SE"
        return f"{self.points:+.1f}{errors}"


@dataclass(frozen=True, slots=True)
class HeadlineEntry:
    """One cell in a headline table. `is_best`: no method of its column is clearly above it, and some are below."""

    cell: Cell
    difference: Difference | None
    printed: tuple[PaperGap, ...]
    is_best: bool

    @property
    def text(self) -> str:
        """Mean, deviation and n; marked where the images are no pictures."""
        return (
            f"{MARK if self.cell.is_far_out_of_range else ''}{self.cell.mean:.1f} ± {self.cell.std:.1f} ({self.cell.n})"
        )

    @property
    def is_tie(self) -> bool:
        """Whether it does not differ from the reference by two standard errors."""
        return self.difference is not None and self.difference.verdict == "tie"

    @property
    def count_text(self) -> str:
        """How many networks, on how many sets."""
        sets = len(self.cell.sets)
        return f"n = {self.cell.n}, {sets} sets" if sets > 1 else f"n = {self.cell.n}"


@dataclass(frozen=True, slots=True)
class Headline:
    """Methods by dataset and ipc under one protocol, selection rule and network: numbers that may be compared."""

    protocol: str
    selection: str
    network: str
    methods: tuple[tuple[str, str], ...]  # name and label
    columns: tuple[tuple[str, int | None], ...]  # dataset and ipc; None: all images
    entries: dict[tuple[str, str, int | None], HeadlineEntry]
    reference: str = BASELINE  # the method that the differences are to

    @property
    def reference_label(self) -> str:
        """The reference's name for people."""
        return reference_label(self.reference, [entry.cell for entry in self.entries.values()])

    @property
    def warning(self) -> str | None:
        """A warning that belongs above the numbers, if there is one."""
        if self.selection != LEGACY:
            return None
        return (
            "These numbers select on test data: of several snapshots of a set, the one that does best on the test "
            "images is reported. They flatter every method, and stand here only to be compared with papers that do so."
        )

    @property
    def out_of_range_pixels_note(self) -> str | None:
        """What the mark means, and which cells have it; None if none has."""
        marked = [one.cell for one in self.entries.values() if one.cell.is_far_out_of_range]
        names = "; ".join(f"{cell.title} ({describe_range(cell.pixel_range)})" for cell in marked if cell.pixel_range)
        return f"Images with pixels far out of range are marked {MARK.strip()}: {names}." if marked else None

    @property
    def title(self) -> str:
        """Protocol, selection rule and network."""
        return f"protocol {self.protocol}, selection {self.selection}, network {self.network}"

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"headline-{self.protocol}-{self.selection}-{self.network}"

    def column(self, dataset: str, ipc: int | None) -> list[HeadlineEntry]:
        """The entries of a column from top to bottom."""
        places = [(method, dataset, ipc) for method, _ in self.methods]
        return [self.entries[place] for place in places if place in self.entries]

    def column_count_text(self, dataset: str, ipc: int | None) -> str | None:
        """How many networks and sets, if every number of a column has as many; else None."""
        counts = {entry.count_text for entry in self.column(dataset, ipc)}
        return counts.pop() if len(counts) == 1 else None

    def table(self) -> Table:
        """The same as a plain table."""
        columns = [Column("method"), *(Column(f"{dataset}, {images_phrase(ipc)}") for dataset, ipc in self.columns)]
        rows = [[label, *(self._text(name, *place) for place in self.columns)] for name, label in self.methods]
        caption = f"Test accuracy in percent: mean ± standard deviation (networks); {self.title}."
        tied = any(entry.is_tie for entry in self.entries.values())
        tie = f"{TIE}: within two standard errors of {self.reference_label}, a tie." if tied else None
        notes = " ".join(filter(None, (caption, tie, self.warning, self.out_of_range_pixels_note)))
        return Table(self.name, notes, tuple(columns), tuple(map(tuple, rows)))

    def _text(self, method: str, dataset: str, ipc: int | None) -> str | None:
        entry = self.entries.get((method, dataset, ipc))
        return f"{entry.text}{f' {TIE}' if entry.is_tie else ''}" if entry else None


def reference_label(reference: str, cells: Iterable[Cell]) -> str:
    """How a method is called beside these cells; random images are called random."""
    labels = (cell.label for cell in cells if cell.method == reference)
    return reference if reference == BASELINE else next(labels, reference)


def headlines(cells: Sequence[Cell], reference: str = BASELINE) -> list[Headline]:
    """One table for each protocol, selection rule and network; numbers of two are never in one."""
    gaps = differences(cells, reference)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for position, cell in enumerate(cells):
        groups.setdefault((cell.protocol, cell.selection, cell.network), []).append(position)
    return [_headline(group, [(cells[i], gaps.get(i)) for i in rows], reference) for group, rows in groups.items()]


def _headline(group: tuple[str, str, str], rows: list[tuple[Cell, Difference | None]], reference: str) -> Headline:
    columns: dict[tuple[str, int | None], list[Cell]] = {}
    for cell, _ in rows:
        columns.setdefault((cell.dataset, cell.images_per_class), []).append(cell)
    leading = {place: best_methods(cells) for place, cells in columns.items()}
    entries: dict[tuple[str, str, int | None], HeadlineEntry] = {}
    for cell, gap in rows:
        entry = HeadlineEntry(cell, gap, paper_gaps(cell), cell.method in leading[cell.dataset, cell.images_per_class])
        # all images of several ipc are one column, which shows the first; the table of every cell has each
        entries.setdefault((cell.method, cell.dataset, cell.images_per_class), entry)
    methods = tuple(dict.fromkeys((cell.method, cell.label) for cell, _ in rows))
    datasets = list(dict.fromkeys(dataset for dataset, _ in columns))
    ordered = sorted(columns, key=lambda place: (datasets.index(place[0]), place[1] is None))
    return Headline(*group, methods, tuple(ordered), entries, reference)


def published_numbers(cell: Cell) -> PublishedNumbers | None:
    """The numbers that papers print for a cell, on the same network and, where they tested by several, its protocol."""
    found = find_published_numbers(cell.papers_dataset or cell.dataset, cell.method, cell.ipc, cell.network)
    alike = tuple(one for one in found.numbers if one.protocol == cell.protocol) if found else ()
    return replace(found, numbers=alike) if found and alike else found


def paper_gaps(cell: Cell) -> tuple[PaperGap, ...]:
    """The cell beside every number that papers print for it; none where they trained another network."""
    papers, own = published_numbers(cell), standard_error(cell)
    numbers = papers.numbers if papers else ()
    return tuple(PaperGap(n, cell.mean - n.mean, _error(own, n.std)) for n in numbers)


def _error(own: float | None, published_std: float | None) -> float | None:
    return None if own is None or published_std is None else math.hypot(own, published_std)


def summary_table(cells: Sequence[Cell]) -> Table:
    """One row per cell, for programs."""
    rows = [
        (
            *(cell.dataset, cell.method, cell.ipc, cell.network, cell.protocol, cell.selection),
            *(cell.n, cell.mean, cell.std, cell.seconds, cell.peak_bytes, cell.digest),
            *(cell.pixel_range or (None, None)),
        )
        for cell in cells
    ]
    return Table("summary", "Every cell.", tuple(map(Column, SUMMARY)), tuple(rows))


def cell_table(cells: Sequence[Cell], reference: str = BASELINE) -> Table:
    """One row per cell, for people; the papers' numbers have columns if they have any of these cells."""
    gaps, papers = differences(cells, reference), [paper_gaps(cell) for cell in cells]
    searched = any(cell.validation is not None for cell in cells)
    averaged = any(cell.unaveraged_accuracy is not None for cell in cells)
    bests, marked = [best_on_test(cell) for cell in cells], any(cell.unsourced for cell in cells)
    far = any(cell.is_far_out_of_range for cell in cells)
    kinds: dict[str, Kind] = {"dataset": "text", "ipc": "count", "method": "text", "mean": "points", "std": "points"}
    kinds |= {"n": "count", "sets": "count", f"above {reference_label(reference, cells)}": "points"}
    kinds |= {"standard errors": "points", "over": "text", "verdict": "text"}
    kinds |= {"validation": "points"} if searched else {}
    kinds |= {"before averaging": "points"} if averaged else {}
    kinds |= {"best on test": "points", "by selection on test": "points"} if any(bests) else {}
    kinds |= {"papers": "text", "above papers": "text", "printed in": "text"} if any(papers) else {}
    kinds |= {"pixels": "text"} if far else {}
    kinds |= {"values": "text"} if marked else {}
    kinds |= {"protocol": "text", "selection": "text", "network": "text"}
    kinds |= {"time": "seconds", "peak memory": "bytes", "digest": "text"}
    rows: list[tuple[Value, ...]] = []
    for position, cell in enumerate(cells):
        gap = gaps.get(position)
        rows.append(
            (
                *(
                    cell.dataset,
                    cell.images_per_class or "all",
                    cell.label,
                    cell.mean,
                    cell.std,
                    cell.n,
                    len(cell.sets),
                ),
                *_difference(gap),
                *((cell.validation,) if searched else ()),
                *((cell.unaveraged_accuracy,) if averaged else ()),
                *(_best_on_test_values(bests[position]) if any(bests) else ()),
                *(_papers(papers[position]) if any(papers) else ()),
                *((_pixels(cell),) if far else ()),
                *((cell.unsourced,) if marked else ()),
                *(cell.protocol, cell.selection, cell.network, cell.seconds, cell.peak_bytes, cell.digest),
            )
        )
    caption = "Test accuracy in percent, pooled over sets and networks. Rows of different protocols do not compare."
    return Table("cells", caption, _columns(kinds), tuple(rows))


def _difference(gap: Difference | None) -> tuple[Value, ...]:
    return (gap.points, gap.standard_errors, f"{gap.count} {gap.sample_kind}", gap.verdict) if gap else (None,) * 4


def _pixels(cell: Cell) -> str | None:
    if cell.pixel_range is None:
        return None
    low, high = cell.pixel_range
    return f"{MARK if cell.is_far_out_of_range else ''}{low:.3g} to {high:.3g}"


def _columns(kinds: Mapping[str, Kind]) -> tuple[Column, ...]:
    return tuple(Column(title, kind) for title, kind in kinds.items())


def _best_on_test_values(best: BestOnTest | None) -> tuple[Value, ...]:
    return (best.cell.mean, best.optimism) if best else (None, None)


def _papers(gaps: Sequence[PaperGap]) -> tuple[Value, ...]:
    if not gaps:
        return None, None, None
    parts = [(one.number.text, one.text, one.number.source) for one in gaps]
    return tuple(" / ".join(texts) for texts in zip(*parts, strict=True))


def cost_table(costs: Sequence[StageCost]) -> Table:
    """Time, memory and disk of each kind of job."""
    kinds: dict[str, Kind] = {"stage": "text", "kind": "text", "jobs": "count", "time": "seconds"}
    kinds |= {"peak memory": "bytes", "device": "text", "on disk": "bytes"}
    rows = [
        (one.stage, one.kind, len(one.jobs), one.seconds, one.peak_bytes, one.devices or "not measured", _disk(one))
        for one in costs
    ]
    caption = "Cost: a row for each kind of job, its shards and sets together."
    return Table("costs", caption, _columns(kinds), tuple(rows))


def _disk(cost: StageCost) -> Value:
    return "not here" if cost.bytes is None else cost.bytes


def terminal_text(cells: Sequence[Cell], reference: str = BASELINE) -> str:
    """The headline tables as text of at most 100 columns."""
    return "\n\n".join(_block(headline) for headline in headlines(cells, reference))


def _block(headline: Headline) -> str:
    above = f"above {headline.reference_label}"
    lines = [("dataset", "ipc", "method", "accuracy % (n)", above, "seconds")]
    for dataset, ipc in headline.columns:
        for method, label in headline.methods:
            entry = headline.entries.get((method, dataset, ipc))
            if entry:
                seconds = entry.cell.seconds
                spent = "not measured" if seconds is None else f"{seconds:.1f}"
                lines.append((dataset, str(ipc or "all"), label, entry.text, _gap(entry, headline.reference), spent))
    limits = (18, 5, 22, 20, 18, 12)  # 95 columns, and a space between them
    cut = [[_cut(text, limit) for text, limit in zip(line, limits, strict=True)] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    rows = [
        " ".join(_pad(i, text, width) for i, (text, width) in enumerate(zip(line, widths, strict=True))) for line in cut
    ]
    warning = ["SELECTED ON TEST DATA: only to be compared with papers that do so"] if headline.warning else []
    warning += textwrap.wrap(headline.out_of_range_pixels_note, WIDTH) if headline.out_of_range_pixels_note else []
    return "\n".join([headline.title[:WIDTH], *warning, *(row.rstrip() for row in rows)])


def _gap(entry: HeadlineEntry, reference: str) -> str:
    if entry.difference is None:
        if entry.cell.images_per_class is None:
            return "-"
        own, absent = ("baseline", "no baseline") if reference == BASELINE else ("reference", "no reference")
        return own if entry.cell.method == reference else absent
    errors = entry.difference.standard_errors
    text = f"{entry.difference.points:+.1f}" + (f" ({errors:.1f} SE)" if errors is not None else "")
    return f"{text} {TIE}" if entry.is_tie else text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 2]}.."


def _pad(column: int, text: str, width: int) -> str:
    return text.ljust(width) if column in {0, 2} else text.rjust(width)
