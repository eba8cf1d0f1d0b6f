"""How steady a distillation was: gradients of the images, their spikes, and the sharpness between the two passes.

SATM's section 4 argues by these: a smaller mean and variance of the hypergradient's norm, and fewer spikes.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev

from dcpipe.provenance import artifact
from dcpipe.report.cells import Cell
from dcpipe.report.origins import Lineage
from dcpipe.report.table import Column, Table, Value

SPIKE_DEVIATIONS = 5.0  # standard deviations above the mean
ENDS = 0.1  # share of the updates that is the beginning, and the end

History = Mapping[str, Sequence[float]]


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a history.csv, one value per update; a missing or unreadable value is NaN."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def stability_table(cells: Sequence[Cell], sources: Lineage) -> Table | None:
    """One row for each kind of set that was distilled in updates; None if there is none."""
    kinds = {(cell.dataset, cell.ipc, cell.method): cell for cell in reversed(cells)}.values()
    rows = [row for cell in list(kinds)[::-1] for row in _row(cell, sources)]
    if not rows:
        return None
    columns = (
        *(Column("dataset"), Column("ipc", "count"), Column("method"), Column("updates", "count")),
        *(Column("gradient norm", "number"), Column("deviation / mean", "number"), Column("spikes", "count")),
        *(Column("cosine", "number"), Column("rise, first tenth", "number"), Column("rise, last tenth", "number")),
    )
    caption = (
        "Gradients of the images, all sets of a kind: mean norm over the updates, its standard deviation over its mean "
        f"and the updates that lie more than {SPIKE_DEVIATIONS:g} deviations above the mean, each within a set. "
        "Of methods with two passes: the first pass's gradient, its cosine with the second's, and how far the loss "
        "rose to the "
        "perturbed set (its sharpness)."
    )
    return Table("gradients", caption, columns, tuple(rows))


def _row(cell: Cell, sources: Lineage) -> Iterator[tuple[Value, ...]]:
    histories = [
        read_history(artifact.verify_payload(sources.root / one.distillation.outputs["history"])) for one in cell.sets
    ]
    norms = [_finite(one.get("first_gradient_norm", one.get("image_gradient_norm", ()))) for one in histories]
    norms = [values for values in norms if values]
    if norms:
        yield (
            *(cell.dataset, cell.ipc, cell.label, sum(map(len, norms))),
            *(fmean(map(fmean, norms)), fmean(map(coefficient_of_variation, norms)), sum(map(spikes, norms))),
            _mean_over(histories, "cosine", 0.0, 1.0),
            *(_mean_over(histories, "rise", 0.0, ENDS), _mean_over(histories, "rise", 1 - ENDS, 1.0)),
        )


def coefficient_of_variation(values: Sequence[float]) -> float:
    """Standard deviation over mean; 0 where the mean is 0."""
    mean = fmean(values)
    return pstdev(values) / mean if mean else 0.0


def spikes(values: Sequence[float]) -> int:
    """How many lie more than five standard deviations above the mean."""
    limit = fmean(values) + SPIKE_DEVIATIONS * pstdev(values)
    return sum(value > limit for value in values)


def _mean_over(histories: Sequence[History], name: str, start: float, stop: float) -> float | None:
    """The mean of a column from one share of the updates to another; None if no set has it."""
    parts = [
        one[name][math.floor(start * len(one[name])) : math.ceil(stop * len(one[name]))]
        for one in histories
        if name in one
    ]
    values = _finite([value for part in parts for value in part])
    return fmean(values) if values else None


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
