"""Which of a method's sets is the one that counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.evaluation import Evaluation

LAST = -1  # stands for the iteration of the finished set

Measure = Callable[[str, int, SyntheticSet], list[float]]
"""(what to measure on: val or test, iteration, set) -> one accuracy a network, in percent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Test accuracies (percent, one a network) of the chosen set, and the iteration it is from (None: the last).

    `curve`: iterations and test accuracies of every set along the way, where they were asked for.
    """

    accuracies: list[float]
    iteration: int | None
    curve: list[tuple[int, list[float]]] = field(default_factory=list)


def last(synthetic: SyntheticSet, measure: Measure) -> Outcome:
    """The finished set."""
    return Outcome(measure("test", LAST, synthetic), None)


def curve(snapshots: Sequence[tuple[int, SyntheticSet]], measure: Measure) -> Outcome:
    """The finished set, whatever the ones before it do; they are tested too."""
    *before, (end, finished) = snapshots
    accuracies = measure("test", LAST, finished)
    found = [(iteration, measure("test", iteration, synthetic)) for iteration, synthetic in before]
    return Outcome(accuracies, None, [*found, (end, accuracies)])


def among(snapshots: Sequence[tuple[int, SyntheticSet]], what: Evaluation, measure: Measure) -> Outcome:
    """`val-best`: best mean on validation, then tested once. `legacy-max`: best mean on test itself."""
    on = "val" if what.selection == "val-best" else "test"
    means = {iteration: _mean(measure(on, iteration, synthetic)) for iteration, synthetic in snapshots}
    best = max(means, key=lambda iteration: means[iteration])  # the earliest of equals
    return Outcome(measure("test", best, dict(snapshots)[best]), best)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
