"""The network of an episode: drawn at its start, trained on the synthetic set between updates of the images.

Batch norm. Running statistics start at mean 0 and variance 1 and follow, with PyTorch's momentum, every batch that the
network is trained on and a batch of 16 real images a class before each update; the gradients that are matched are
then taken with the statistics as they stand. Source: the public code of DC (arXiv:2006.05929).

Legend: N images, C channels, H W pixels, P parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.data import augment
from dcpipe.distillation.class_batches import ClassBatches
from dcpipe.distillation.student import inner_gradient
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.flat import FlatModel, blended
from dcpipe.params.episode import FixedEpochs, NoTraining, Schedule, Training, UntilMoved, UntilOverfit
from dcpipe.random import Stream

STATISTICS_IMAGES = 16  # real images a class


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters (P) and, of networks with batch norm, running statistics by name."""

    theta_P: Tensor
    statistics: dict[str, Tensor]


class NetworkTrainer:
    """Draws networks and trains them on a synthetic set. `batches` gives the real images that tell when to stop."""

    def __init__(self, model: FlatModel, batches: ClassBatches, training: Training) -> None:
        self._model, self._batches, self._training = model, batches, training

    def fresh(self, stream: Stream) -> Network:
        """An untrained network, on the real images' device and in their dtype."""
        like = self._batches.images
        statistics = {name: value.to(like) for name, value in self._model.initial_statistics().items()}
        return Network(self._model.initial(stream.generator()).to(like), statistics)

    def with_real_statistics(self, network: Network, stream: Stream) -> Network:
        """The network after it has seen real images, of which only batch norms take note."""
        if not self._model.has_running_statistics:
            return network
        images, _ = self._batches.balanced(STATISTICS_IMAGES, stream)
        return Network(network.theta_P, self._followed(network, images))

    def logits(self, network: Network, theta_P: Tensor, x_NCHW: Tensor) -> Tensor:
        """The network's answer with its statistics as they stand and any parameters."""
        return self._model(theta_P, x_NCHW, network.statistics)

    @torch.no_grad()
    def accuracy(self, network: Network, count: int, stream: Stream) -> float:
        """The share of `count` real images a class that the network classifies as their label."""
        images, labels = self._batches.balanced(count, stream)
        right = self.logits(network, network.theta_P, images).argmax(dim=1) == labels
        return float(right.double().mean())

    def train(self, network: Network, synthetic: SyntheticSet, update: int, stream: Stream) -> Network:
        """The network after its training that follows the update of this number (from 0)."""
        what = self._training
        if isinstance(what, NoTraining):
            return network
        ended = self._ending(update, stream)
        epoch = 0
        while not ended(network, epoch):
            network = self._epoch(network, synthetic, what.batch, stream.child("epoch", epoch))
            epoch += 1
        return network

    def _ending(self, update: int, stream: Stream) -> Callable[[Network, int], bool]:
        """Whether training ends with this network, after this many epochs; asked before the first and after each."""
        what = self._training
        if isinstance(what, FixedEpochs | Schedule):
            wanted = what.count if isinstance(what, FixedEpochs) else scheduled(what.counts, update)
            return lambda _, epoch: epoch == wanted
        if isinstance(what, UntilOverfit):
            return self._overfit(what, stream)
        assert isinstance(what, UntilMoved)  # noqa: S101 (the rest train not at all)
        return self._moved(what, stream)

    def _overfit(self, what: UntilOverfit, stream: Stream) -> Callable[[Network, int], bool]:
        images, labels = self._batches.balanced(what.real_batch, stream.child("watched"))
        losses: list[float] = []

        def ended(network: Network, epoch: int) -> bool:
            with torch.no_grad():
                logits = self.logits(network, network.theta_P, images)
            losses.append(float(functional.cross_entropy(logits, labels)))
            return epoch == what.at_most or has_risen(losses)

        return ended

    def _moved(self, what: UntilMoved, stream: Stream) -> Callable[[Network, int], bool]:
        accuracies: list[float] = []

        def ended(network: Network, epoch: int) -> bool:
            if epoch:
                accuracies.append(self.accuracy(network, what.real_batch, stream.child("watched", epoch)))
            return epoch == what.at_most or has_moved(accuracies, what.window, what.range)

        return ended

    def _epoch(self, network: Network, synthetic: SyntheticSet, batch: int, stream: Stream) -> Network:
        """One pass over the set in shuffled batches, the last partial one kept; plain SGD, no momentum."""
        order = torch.randperm(len(synthetic.labels), generator=stream.child("order").generator())
        draws, size = stream.child("augmentation").generator(), synthetic.images_NCHW.shape[2]
        for rows in torch.split(order.to(synthetic.labels.device), batch):
            images, strategy = synthetic.images_NCHW[rows], self._batches.strategy
            if strategy:
                drawn = augment.draw(strategy, batch=len(rows), height=size, width=size, generator=draws, siamese=False)
                images = augment.apply(images, drawn)
            gradient_P = inner_gradient(self._model, network.theta_P, images, synthetic.labels[rows])
            theta_P = network.theta_P.add(gradient_P, alpha=-float(synthetic.step_size))
            network = Network(theta_P, self._followed(network, images))
        return network

    def _followed(self, network: Network, images_NCHW: Tensor) -> dict[str, Tensor]:
        if not self._model.has_running_statistics:
            return network.statistics
        return blended(network.statistics, self._model.observe(network.theta_P, images_NCHW)[1])


def scheduled(counts: Sequence[int], update: int) -> int:
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


def has_settled(accuracies: Sequence[float], window: int, largest: float) -> bool:
    """Whether the last `window` accuracies (shares) differ by less than this. Source: CAFE (arXiv:2203.01531)."""
    return len(accuracies) >= window and max(accuracies[-window:]) - min(accuracies[-window:]) < largest
