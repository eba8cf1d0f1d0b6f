"""What selection on test images would have reported: of every set the snapshot that does best on them.

Much of the literature reports this number. Here it stands beside the finished sets' and is named for what it is; it
needs a protocol whose selection is `curve`, which tests every snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from dcpipe.report.cells import Cell
from dcpipe.report.curves import converged_at
from dcpipe.report.table import Column, Table


@dataclass(frozen=True, slots=True)
class BestOnTest:
    """The cell as it would be of the chosen snapshots, the iterations those are from, and the optimism: how many points
    their mean is above the finished sets'."""

    cell: Cell
    iterations: tuple[int, ...]
    optimism: float

    @property
    def iterations_text(self) -> str:
        """The iterations as text, one per set."""
        return ", ".join(map(str, self.iterations))

    @property
    def text(self) -> str:
        """The number, where it is from, and its optimism."""
        mean, std = self.cell.mean, self.cell.std
        number = f"{mean:.1f} ± {std:.1f} (iteration {self.iterations_text})"
        return f"{number}, {self.optimism:+.1f} points by selection on test"


def best_on_test(cell: Cell) -> BestOnTest | None:
    """The snapshots of a cell's sets that do best on test; None unless every snapshot of every set was tested."""
    if not all(len(one.curve) > 1 for one in cell.sets):
        return None
    chosen = [max(one.curve, key=lambda point: fmean(point[1])) for one in cell.sets]
    pairs = zip(cell.sets, chosen, strict=True)
    best = replace(cell, sets=tuple(replace(one, accuracies=values) for one, (_, values) in pairs))
    return BestOnTest(best, tuple(iteration for iteration, _ in chosen), best.mean - cell.mean)


def selection_table(cells: Sequence[Cell]) -> Table | None:
    """The finished sets and the best on test, a row per cell whose snapshots were all tested; None where none was."""
    found = [(cell, best) for cell in cells if (best := best_on_test(cell))]
    if not found:
        return None
    columns = (
        *(Column("dataset"), Column("ipc", "count"), Column("method"), Column("protocol"), Column("network")),
        *(Column("finished set", "points"), Column("std", "points"), Column("best on test", "points")),
        *(Column("std of best", "points"), Column("by selection on test", "points"), Column("best at iteration")),
        *(Column("n", "count"), Column("converged at iteration", "count")),
    )
    rows = [
        (
            *(cell.dataset, cell.ipc, cell.label, cell.protocol, cell.network),
            *(cell.mean, cell.std, best.cell.mean, best.cell.std, best.optimism, best.iterations_text),
            *(cell.n, converged_at(cell)),
        )
        for cell, best in found
    ]
    caption = (
        "Test accuracy in percent of the finished sets, and of the snapshot of each set that does best on the test "
        "images, as much of the literature reports it; the difference is what that selection adds. Converged: the "
        "first snapshot whose mean is within 2 points of the best one's (MCT, figure 1)."
    )
    return Table("selection", caption, columns, tuple(rows))
