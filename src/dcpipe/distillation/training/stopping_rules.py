"""When the training of a network between two updates of the images ends."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.training.network_training import NetworkState, NetworkTrainer
    from dcpipe.distillation.training.training_config import UntilAccuracyMoves, UntilOverfit

Ended = Callable[["NetworkState", int], bool]
"""Whether training ends with this network after this many epochs; asked before the first and after each."""


class StoppingRule(Protocol):
    """Begins to watch a training that follows the update of this number (from 0)."""

    def __call__(self, trainer: "NetworkTrainer", update: int, stream: Stream) -> Ended: ...


def after_epochs(count: int, _trainer: "NetworkTrainer", _update: int, _stream: Stream) -> Ended:
    """A fixed number of epochs. Source: DC (arXiv:2006.05929)."""
    return lambda _, epoch: epoch == count


def by_schedule(counts: Sequence[int], _trainer: "NetworkTrainer", update: int, _stream: Stream) -> Ended:
    """A number of epochs of each update's own."""
    return lambda _, epoch: epoch == scheduled_epochs(counts, update)


def when_overfit(config: "UntilOverfit", trainer: "NetworkTrainer", _update: int, stream: Stream) -> Ended:
    """When the loss on real images rises."""
    images, labels = trainer.real_images(config.real_batch, stream.child("watched"))
    losses: list[float] = []

    def ended(network: "NetworkState", epoch: int) -> bool:
        losses.append(trainer.loss(network, images, labels))
        return epoch == config.at_most or has_risen(losses)

    return ended


def when_accuracy_moves(config: "UntilAccuracyMoves", trainer: "NetworkTrainer", _update: int, stream: Stream) -> Ended:
    """When the accuracy on real images moves."""
    accuracies: list[float] = []

    def ended(network: "NetworkState", epoch: int) -> bool:
        if epoch:
            accuracies.append(trainer.accuracy(network, config.real_batch, stream.child("watched", epoch)))
        return epoch == config.at_most or has_moved(accuracies, config.window, config.range)

    return ended


def scheduled_epochs(counts: Sequence[int], update: int) -> int:
    """zeta(t): the number of an update (from 0) in a schedule whose last number serves all that follow.

    Source: equation 12 of arXiv:2208.00311 is [50, 40, 30, 20, 10, 10, 10, 10, 10, 10, 5].
    """
    return counts[min(update, len(counts) - 1)]


def has_risen(losses: Sequence[float]) -> bool:
    """Whether the last of these losses is larger than the one before: overfitting, in arXiv:2208.00311, section 4.4."""
    return len(losses) > 1 and losses[-2] < losses[-1]


def has_moved(accuracies: Sequence[float], window: int, largest: float) -> bool:
    """Whether the last `window` accuracies (shares) differ by more than this. Source: CAFE (arXiv:2203.01531)."""
    return len(accuracies) >= window and max(accuracies[-window:]) - min(accuracies[-window:]) > largest
