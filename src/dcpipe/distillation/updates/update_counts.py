"""When a network has served: no further update of the images is made against it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dcpipe.distillation.updates.updates_config import UntilSettled

Measure = Callable[[int], float]
"""Real images per class -> the network's accuracy on them (a share)."""


class LastUpdateRule(Protocol):
    """Whether the update that was just made, number `done` from 1, was the network's last.

    `accuracies`: what the rule measured after the updates before. Answers these and its own
    measurement, if it makes one.
    """

    def __call__(
        self, done: int, accuracies: tuple[float, ...], measure: Measure
    ) -> tuple[bool, tuple[float, ...]]: ...


def after_fixed_count(
    count: int,
    done: int,
    accuracies: tuple[float, ...],
    _measure: Measure,
) -> tuple[bool, tuple[float, ...]]:
    """A fixed number. Source: DC (arXiv:2006.05929)."""
    return done == count, accuracies


def after_accuracy_settles(
    config: "UntilSettled", done: int, accuracies: tuple[float, ...], measure: Measure
) -> tuple[bool, tuple[float, ...]]:
    """When the accuracy has settled. Source: CAFE (arXiv:2203.01531)."""
    known = (*accuracies, measure(config.real_batch))
    return done == config.at_most or has_settled(known, config.window, config.range), known


def has_settled(accuracies: Sequence[float], window: int, largest: float) -> bool:
    """Whether the last `window` accuracies (shares) differ by less than this. Source: CAFE (arXiv:2203.01531)."""
    return len(accuracies) >= window and max(accuracies[-window:]) - min(accuracies[-window:]) < largest
