"""Test accuracy along distillation: against iterations, and against the seconds that they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from dcpipe.report import figures
from dcpipe.report.cells import Cell, images
from dcpipe.report.figures import Points
from dcpipe.report.table import Column, Table


@dataclass(frozen=True, slots=True)
class Step:
    """What networks scored, in percent, on a cell's sets as they were after so many iterations.

    `seconds` is a set's share of the distillation's time, all iterations alike; None: not measured.
    """

    iteration: int
    seconds: float | None
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The methods of one dataset, ipc, protocol and network: their names in the order of colours, and two drawings."""

    title: str
    methods: tuple[str, ...]
    by_iteration: str
    by_seconds: str | None  # None: not every set's time was measured


def steps(cell: Cell) -> list[Step]:
    """The points of a cell's curve, ascending; none where its snapshots were not tested."""
    found: dict[int, list[float]] = {}
    for one in cell.sets:
        for iteration, accuracies in one.curve:
            found.setdefault(iteration, []).extend(accuracies)
    end, seconds = max(found, default=0), cell.seconds
    share = None if seconds is None or not end else seconds / len(cell.sets) / end
    return [Step(at, None if share is None else share * at, tuple(found[at])) for at in sorted(found)]


def drawn(cells: Sequence[Cell]) -> list[Drawn]:
    """A pair of drawings for each place whose snapshots were tested; a coreset, which has no iterations, is level."""
    places: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        if any(one.curve for one in cell.sets):
            places.setdefault(cell.place, []).append(cell)
    return [_drawn(group) for group in places.values() if any(len(steps(cell)) > 1 for cell in group)]


def table(cells: Sequence[Cell]) -> Table | None:
    """Every point of every curve; None where there is none."""
    columns = (
        *map(Column, ("dataset", "ipc", "method", "protocol", "network")),
        *(Column("iteration", "count"), Column("time", "seconds")),
        *(Column("mean", "points"), Column("std", "points"), Column("n", "count")),
    )
    rows = [
        (
            *(cell.dataset, cell.ipc, cell.label, cell.protocol, cell.network),
            *(step.iteration, step.seconds, fmean(step.accuracies), pstdev(step.accuracies), len(step.accuracies)),
        )
        for cell in cells
        for step in steps(cell)
    ]
    if not rows:
        return None
    return Table("curves", "Test accuracy in percent along distillation; a set's seconds.", columns, tuple(rows))


def _drawn(cells: Sequence[Cell]) -> Drawn:
    series = {cell.label: steps(cell) for cell in cells}
    first = cells[0]
    by_iteration = {name: [(float(one.iteration), fmean(one.accuracies)) for one in s] for name, s in series.items()}
    by_seconds = {
        name: [(one.seconds or 0.0, fmean(one.accuracies)) for one in found] for name, found in series.items()
    }
    timed = all(one.seconds is not None for found in series.values() if len(found) > 1 for one in found)
    return Drawn(
        f"{first.dataset}, {images(first.ipc)}, protocol {first.protocol}, network {first.network}",
        tuple(series),
        figures.lines("test accuracy in percent by iteration", _level(by_iteration)),
        figures.lines("test accuracy in percent by second", _level(by_seconds)) if timed else None,
    )


def _level(series: dict[str, list[tuple[float, float]]]) -> list[tuple[str, Points]]:
    end = max(x for points in series.values() for x, _ in points)
    return [
        (name, points if len(points) > 1 else [(0.0, points[0][1]), (end, points[0][1])])
        for name, points in series.items()
    ]
