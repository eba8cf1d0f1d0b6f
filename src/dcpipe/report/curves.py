"""Test accuracy along distillation: against iterations, and against the seconds that they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from dcpipe.report import charts
from dcpipe.report.cells import Cell, images_phrase
from dcpipe.report.charts import Line, Points
from dcpipe.report.figures import Chart, file_name
from dcpipe.report.table import Column, Table

CONVERGED = 2.0  # points below the best accuracy of a curve


@dataclass(frozen=True, slots=True)
class CurveStep:
    """Accuracies in percent of networks trained on a cell's sets as they were after so many iterations.

    `seconds` is a set's share of the distillation's time, all iterations alike; None: not measured.
    """

    iteration: int
    seconds: float | None
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AccuracyCharts:
    """The methods of one dataset, ipc, protocol and network, against iterations and against seconds."""

    title: str
    by_iteration: Chart
    by_seconds: Chart | None  # None: not every set's time was measured


def curve_steps(cell: Cell) -> list[CurveStep]:
    """The points of a cell's curve, ascending; none where its snapshots were not tested."""
    pooled: dict[int, list[float]] = {}
    for one in cell.sets:
        for iteration, accuracies in one.curve:
            pooled.setdefault(iteration, []).extend(accuracies)
    end, seconds = max(pooled, default=0), cell.seconds
    share = None if seconds is None or not end else seconds / len(cell.sets) / end
    return [CurveStep(at, None if share is None else share * at, tuple(pooled[at])) for at in sorted(pooled)]


def converged_at(cell: Cell) -> int | None:
    """The first tested iteration whose mean accuracy is within 2 points of the best one; None without a curve.

    Source: MCT (arXiv:2406.19827), the rule of its figure 1(b).
    """
    means = {step.iteration: fmean(step.accuracies) for step in curve_steps(cell)}
    return next((at for at, mean in means.items() if max(means.values()) - mean < CONVERGED), None)


def accuracy_charts(cells: Sequence[Cell]) -> list[AccuracyCharts]:
    """Charts for each place whose snapshots were tested; a coreset, which has no iterations, is a level line."""
    places: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        if any(one.curve for one in cell.sets):
            places.setdefault(cell.group, []).append(cell)
    return [_group_charts(group) for group in places.values() if any(len(curve_steps(cell)) > 1 for cell in group)]


def curve_table(cells: Sequence[Cell]) -> Table | None:
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
        for step in curve_steps(cell)
    ]
    if not rows:
        return None
    return Table("curves", "Test accuracy in percent along distillation; a set's seconds.", columns, tuple(rows))


def _group_charts(cells: Sequence[Cell]) -> AccuracyCharts:
    curves = [(cell.label, curve_steps(cell)) for cell in cells]
    first = cells[0]
    title = f"{first.dataset}, {images_phrase(first.ipc)}, protocol {first.protocol}, network {first.network}"
    place = (first.dataset, f"ipc{first.ipc}", first.protocol, first.selection, first.network)
    by_iteration = [(label, [(float(step.iteration), fmean(step.accuracies)) for step in one]) for label, one in curves]
    by_seconds = [(label, [(step.seconds or 0.0, fmean(step.accuracies)) for step in one]) for label, one in curves]
    timed = all(step.seconds is not None for _, one in curves if len(one) > 1 for step in one)

    def chart(unit: str, series: Sequence[tuple[str, Points]]) -> Chart:
        name, up = file_name(f"accuracy-by-{unit}", *place), "test accuracy in percent"
        return charts.line_chart(
            name, f"{up} by {unit}, {title}", _chart_lines(series), x_label=_ACROSS[unit], y_label=up
        )

    return AccuracyCharts(title, chart("iteration", by_iteration), chart("second", by_seconds) if timed else None)


_ACROSS = {"iteration": "iteration", "second": "seconds"}


def _chart_lines(series: Sequence[tuple[str, Points]]) -> list[Line]:
    """Named lines; one point becomes a level line as long as the longest."""
    end = max(x for _, points in series for x, _ in points)
    return [
        Line(label, points if len(points) > 1 else [(0.0, points[0][1]), (end, points[0][1])], colour)
        for colour, (label, points) in enumerate(series)
    ]
