"""Accuracy against stored bytes: what a set costs to keep, in the smallest form that loses nothing it needs.

A pixel of a real image is one byte, one of a distilled image a float32; a hard label is a byte (two above 256
classes), a soft one a float32 a class.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dcpipe.provenance import artifact
from dcpipe.report import charts
from dcpipe.report.baseline import BASELINE
from dcpipe.report.cells import Cell, images_phrase
from dcpipe.report.charts import Line
from dcpipe.report.figures import Chart, file_name
from dcpipe.report.published import WHOLE
from dcpipe.report.table import Column, Table

FLOAT_BYTES = 4
SMALL = 256  # classes that a byte counts
WHOLE_PIXELS = 0.05  # how far from a whole number, of 255, a pixel of a real image may lie by rounding

Points = list[tuple[float, float]]


def stored_bytes(cell: Cell, root: Path) -> int:
    """The bytes of one of a cell's sets (all are as large). Raises: CorruptArtifactError."""
    from dcpipe.data import store
    from dcpipe.distillation import synthetic_set

    made = cell.sets[0].distillation
    synthetic = synthetic_set.load(artifact.verify_payload(root / made.outputs["synthetic"]))
    whitening = made.inputs.get("whitening")
    whitened_by = artifact.verify_payload(root / whitening[0]) if whitening else None
    transform = store.load_transform(artifact.verify_payload(root / made.input("train")), whitened_by)
    pixels = transform.invert(synthetic.images_NCHW) * 255.0
    is_real = bool(((pixels - pixels.round()).abs() < WHOLE_PIXELS).all())
    images = synthetic.images_NCHW.numel() * (1 if is_real else FLOAT_BYTES)
    if synthetic.is_soft:
        return images + synthetic.labels.numel() * FLOAT_BYTES
    return images + len(synthetic.labels) * (1 if int(synthetic.labels.max()) < SMALL else 2)


def bytes_table(cells: Sequence[Cell], sizes: Sequence[int]) -> Table:
    """One row per cell, smallest first, beside random real images of as many bytes, read off between their sizes."""
    random = {
        group: sorted(
            (size, cell.mean)
            for cell, size in zip(cells, sizes, strict=True)
            if _is_method_in_group(cell, group, BASELINE)
        )
        for group in map(_group_key, cells)
    }
    rows = []
    for cell, size in sorted(zip(cells, sizes, strict=True), key=lambda pair: (_group_key(pair[0]), pair[1])):
        equal = None if cell.method == BASELINE else interpolated_at(random[_group_key(cell)], size)
        gain = None if equal is None else cell.mean - equal
        place = (*_group_key(cell), cell.label, images_phrase(cell.images_per_class))
        rows.append((*place, size, cell.mean, cell.std, cell.n, equal, gain))
    columns = (
        *map(Column, ("dataset", "protocol", "selection", "network", "method", "images")),
        *(Column("stored", "bytes"), Column("mean", "points"), Column("std", "points"), Column("n", "count")),
        *(Column("random at these bytes", "points"), Column("above it", "points")),
    )
    caption = (
        "Accuracy against stored bytes: a real pixel takes one byte, a distilled one four; a hard label one byte (two "
        "above 256 classes), a soft one four a class. Random at these bytes lies on the line between the nearest "
        "numbers of random images that were measured, over the logarithm of bytes; - outside of them."
    )
    return Table("stored-bytes", caption, columns, tuple(rows))


def interpolated_at(points: Sequence[tuple[int, float]], size: int) -> float | None:
    """The value at a size on the lines between points (ascending sizes), over the logarithm; None outside of them."""
    for (low, first), (high, last) in pairwise(points):
        if low <= size <= high and high > low:
            share = math.log(size / low) / math.log(high / low)
            return first + share * (last - first)
    return next((value for at, value in points if at == size), None)


def bytes_charts(cells: Sequence[Cell], sizes: Sequence[int]) -> list[Chart]:
    """A chart for each dataset, protocol, selection and network where a method has two sizes or more."""
    groups: dict[tuple[str, ...], dict[str, Points]] = {}
    for cell, size in zip(cells, sizes, strict=True):
        if cell.method != WHOLE:
            groups.setdefault(_group_key(cell), {}).setdefault(cell.label, []).append((float(size), cell.mean))
    found = []
    for place, methods in groups.items():
        if max(map(len, methods.values())) < 2:
            continue
        lines = [Line(label, sorted(points), colour) for colour, (label, points) in enumerate(methods.items())]
        title = f"{place[0]}, protocol {place[1]}, network {place[3]}"
        name = file_name("bytes", *place)
        found.append(
            charts.line_chart(
                name, title, lines, x_label="stored bytes", y_label="test accuracy in percent", x_log=True
            )
        )
    return found


def _group_key(cell: Cell) -> tuple[str, str, str, str]:
    return cell.dataset, cell.protocol, cell.selection, cell.network


def _is_method_in_group(cell: Cell, group: tuple[str, ...], method: str) -> bool:
    return _group_key(cell) == group and cell.method == method
