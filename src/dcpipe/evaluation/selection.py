"""Selection: which of a method's sets is evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from dcpipe.distillation.synthetic_set import SyntheticSet, load, load_snapshots

LAST = -1  # in place of an iteration: the finished set

Measure = Callable[[str, int, SyntheticSet], list[float]]
"""(what to measure on: val or test, iteration, set) -> one accuracy per network, in percent."""


@dataclass(frozen=True, slots=True)
class SelectionResult:
    """Test accuracies (percent, one per network) of the chosen set, and the iteration it is from (None: the last).

    `curve`: iterations and test accuracies of every set along the way, where they were asked for.
    """

    accuracies: list[float]
    iteration: int | None
    curve: list[tuple[int, list[float]]] = field(default_factory=list)


class SnapshotSelection(Protocol):
    """From a file of one set, or of snapshots where the rule reads them, to the outcome."""

    def __call__(self, path: Path, measure: Measure) -> SelectionResult: ...


def last(path: Path, measure: Measure) -> SelectionResult:
    """The finished set."""
    return SelectionResult(measure("test", LAST, load(path)), None)


def curve(path: Path, measure: Measure) -> SelectionResult:
    """The finished set, whatever the accuracies of the ones before it; they are tested too."""
    *before, (end, finished) = load_snapshots(path)
    accuracies = measure("test", LAST, finished)
    points = [(iteration, measure("test", iteration, synthetic)) for iteration, synthetic in before]
    return SelectionResult(accuracies, None, [*points, (end, accuracies)])


def best_on(part: Literal["val", "test"], path: Path, measure: Measure) -> SelectionResult:
    """The snapshot of the best mean on a part, then tested once; the earliest of several best ones."""
    return best_of(dict(load_snapshots(path)), part, measure)


def best_of(snapshots: Mapping[int, SyntheticSet], part: Literal["val", "test"], measure: Measure) -> SelectionResult:
    """As `best_on`, of sets by their iterations, ascending."""
    means = {iteration: _mean(measure(part, iteration, synthetic)) for iteration, synthetic in snapshots.items()}
    best = max(means, key=lambda iteration: means[iteration])
    return SelectionResult(measure("test", best, snapshots[best]), best)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
