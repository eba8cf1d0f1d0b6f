"""The radius of SATM's perturbation: where its two passes part, and what that does to accuracy.

    dcpipe run benchmarks/satm-radius.yaml --unrecorded
    python benchmarks/satm_radius.py --figures benchmarks/results

Reads the experiment's histories and scores. Prints one JSON object: by method the radius and its unit, the cosine of
the two passes' gradients and the rise of the loss between them (means over the updates of all sets), and the accuracy
in percent. Draws the cosine and the accuracy by radius, as SVG.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean

from dcpipe.distillation.sharpness.sharpness_config import Satm
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.report import charts, stability
from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.charts import Line
from dcpipe.report.figures import Chart
from dcpipe.workflow.graph import Graph

EXPERIMENT = "satm-radius"
Row = dict[str, float | int | str]


def measure(root: Path) -> dict[str, Row]:
    """A row a method, in the experiment's order."""
    cells = gather_cells(Graph(root).make_job("report", experiment=EXPERIMENT), root)
    return {cell.method: {**_radius(cell), **_passes(cell, root), **_accuracy(cell)} for cell in cells}


def _radius(cell: Cell) -> Row:
    outer = cell.sets[0].distillation.section("method", Method).outer
    if outer is None or not isinstance(outer.sharpness, Satm):
        return {}
    return {"radius": outer.sharpness.radius, "unit": outer.sharpness.radius_unit}


def _passes(cell: Cell, root: Path) -> Row:
    paths = [artifact.verify_payload(root / one.distillation.outputs["history"]) for one in cell.sets]
    histories = [stability.read_history(path) for path in paths]
    names = [name for name in ("cosine", "rise") if all(name in one for one in histories)]
    return {name: float(f"{fmean(value for one in histories for value in one[name]):.4g}") for name in names}


def _accuracy(cell: Cell) -> Row:
    return {"accuracy": round(cell.mean, 2), "std": round(cell.std, 2), "n": cell.n, "sets": len(cell.sets)}


def draw(rows: dict[str, Row]) -> list[Chart]:
    """Cosine and accuracy by radius in norms of each image; level lines: no radius, the absolute one, and MTT."""
    swept = sorted(
        (float(row["radius"]), row) for row in rows.values() if row.get("unit") == "image-norm" and row["radius"]
    )
    without = next(row for row in rows.values() if row.get("unit") == "image-norm" and not row["radius"])
    ends = swept[0][0], swept[-1][0]
    drawn = []
    for quantity, title in (("cosine", "cosine of the two passes"), ("accuracy", "test accuracy in percent")):
        lines = [Line("SATM by radius", [(radius, float(row[quantity])) for radius, row in swept], 0)]
        level = {"radius 0": without, "absolute 0.1": rows["satm"], "MTT": rows["mtt"]}
        for colour, (name, row) in enumerate(level.items(), start=1):
            if quantity in row:
                lines.append(Line(name, [(end, float(row[quantity])) for end in ends], colour))
        name = f"satm-radius-{quantity}"
        drawn.append(charts.line_chart(name, title, lines, x_label="norms of each image", y_label=title, x_log=True))
    return drawn


def main() -> None:
    """Print the measurement, and draw it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path(), help="the project in which the experiment was run")
    parser.add_argument("--figures", type=Path, help="draw both there, as SVG")
    given = parser.parse_args()
    rows = measure(given.root)
    for chart in draw(rows) if given.figures else ():
        (given.figures / f"{chart.name}.svg").write_bytes(chart.svg)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
