"""What selection on test images would have reported: of every set the snapshot that does best on them.

Much of the literature reports this number. Here it stands beside the finished sets' and is named for what it is; it
needs a protocol whose selection is `curve`, which tests every snapshot.
"""

import statistics
from dataclasses import dataclass

from dcpipe.report.cells import Cell


@dataclass(frozen=True, slots=True)
class BestOnTest:
    """Accuracies in percent of the networks of the chosen snapshots, the iterations those are from, and the optimism:
    how many points their mean is above the finished sets'."""

    accuracies: tuple[float, ...]
    iterations: tuple[int, ...]
    optimism: float

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Population standard deviation in points."""
        return statistics.pstdev(self.accuracies)

    @property
    def text(self) -> str:
        """The number, where it is from, and its optimism."""
        places = ", ".join(map(str, self.iterations))
        return (
            f"{self.mean:.1f} ± {self.std:.1f} (iteration {places}), {self.optimism:+.1f} points by selection on test"
        )


def best_on_test(cell: Cell) -> BestOnTest | None:
    """The snapshots of a cell's sets that do best on test; None unless every snapshot of every set was tested."""
    if not all(len(one.curve) > 1 for one in cell.sets):
        return None
    chosen = [max(one.curve, key=lambda point: statistics.fmean(point[1])) for one in cell.sets]
    accuracies = tuple(value for _, values in chosen for value in values)
    return BestOnTest(accuracies, tuple(iteration for iteration, _ in chosen), statistics.fmean(accuracies) - cell.mean)
