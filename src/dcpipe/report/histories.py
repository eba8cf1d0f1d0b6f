"""The record of a distillation by iteration, as charts: one for each quantity that moved."""

import math
from collections.abc import Mapping
from pathlib import Path

from dcpipe.report import charts, stability
from dcpipe.report.cells import Cell
from dcpipe.report.charts import Line, Points
from dcpipe.report.figures import Chart, file_name

QUANTITIES = {
    "loss": "matching loss",
    "step_size": "step size",
    "image_gradient_norm": "image gradient norm",
    "cosine": "cosine of the two passes",
    "rise": "rise of the loss to the second pass",
    "exact_loss": "loss on the same draws each time",
    "exact_gradient_norm": "norm of the exact image gradient, same draws",
    "exact_sharpness": "sharpness, same draws",
}  # columns of history.csv


def read_curves(path: Path) -> dict[str, Points]:
    """Points (iteration, value) of each drawn quantity that a history.csv has; finite values only."""
    columns = stability.read_history(path)
    points = {
        name: [pair for pair in zip(columns["iteration"], columns[name], strict=True) if math.isfinite(pair[1])]
        for name in QUANTITIES
        if name in columns
    }
    return {name: pairs for name, pairs in points.items() if pairs}


def history_charts(cell: Cell, histories: Mapping[int, Mapping[str, Points]]) -> tuple[Chart, ...]:
    """A chart per quantity, a line per set; `histories` has the sets' numbers. A quantity that never moves has none."""
    drawn = []
    for name, title in QUANTITIES.items():
        series = [Line(f"set {index}", one[name], index) for index, one in histories.items() if name in one]
        if len({value for line in series for _, value in line.points}) > 1:
            file = file_name(name.replace("_", "-"), cell.dataset, cell.method, f"ipc{cell.ipc}")
            drawn.append(charts.line_chart(file, f"{title}, {cell.title}", series, x_label="iteration", y_label=title))
    return tuple(drawn)
