"""The network of an episode: drawn at its start, trained on the synthetic set between updates of the images.

Batch norm. Running statistics start at mean 0 and variance 1 and follow, with PyTorch's momentum, every batch that the
network is trained on and a batch of 16 real images per class before each update; the gradients that are matched are
then taken with the statistics as they stand. Source: the public code of DC (arXiv:2006.05929).

Legend: N images, C channels, H W pixels, P parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.data import augment
from dcpipe.distillation.class_batches import ClassBatches
from dcpipe.distillation.student import inner_gradient
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.flat import FlatModel, updated_statistics
from dcpipe.params.network_axes import TrainingConfig
from dcpipe.random import Stream

STATISTICS_IMAGES = 16  # real images per class


@dataclass(frozen=True, slots=True)
class NetworkState:
    """Parameters (P) and, of networks with batch norm, running statistics by name."""

    theta_P: Tensor
    statistics: dict[str, Tensor]


class NetworkTrainer:
    """Draws networks and trains them on a synthetic set. `batches` gives the real images that tell when to stop."""

    def __init__(self, model: FlatModel, batches: ClassBatches, training: TrainingConfig | None) -> None:
        self._model, self._batches, self._training = model, batches, training

    def fresh(self, stream: Stream) -> NetworkState:
        """An untrained network, on the real images' device and in their dtype."""
        like = self._batches.all_real_images
        statistics = {name: value.to(like) for name, value in self._model.initial_statistics().items()}
        return NetworkState(self._model.initial_parameters(stream.generator()).to(like), statistics)

    def with_real_statistics(self, network: NetworkState, stream: Stream) -> NetworkState:
        """The network after it has seen real images, of which only batch norms take note."""
        if not self._model.has_running_statistics:
            return network
        images, _ = self._batches.balanced(STATISTICS_IMAGES, stream)
        return NetworkState(network.theta_P, self._updated_statistics(network, images))

    def logits(self, network: NetworkState, theta_P: Tensor, x_NCHW: Tensor) -> Tensor:
        """The network's logits with its running statistics unchanged, at any parameters."""
        return self._model(theta_P, x_NCHW, network.statistics)

    @torch.no_grad()
    def accuracy(self, network: NetworkState, count: int, stream: Stream) -> float:
        """The share of `count` real images per class that the network classifies as their label."""
        images, labels = self._batches.balanced(count, stream)
        right = self.logits(network, network.theta_P, images).argmax(dim=1) == labels
        return float(right.double().mean())

    @torch.no_grad()
    def loss(self, network: NetworkState, images_NCHW: Tensor, labels_N: Tensor) -> float:
        """The network's mean cross-entropy on some images."""
        return float(functional.cross_entropy(self.logits(network, network.theta_P, images_NCHW), labels_N))

    def real_images(self, count: int, stream: Stream) -> tuple[Tensor, Tensor]:
        """`count` real images of every class (n x C x H x W), and their labels (n)."""
        return self._batches.balanced(count, stream)

    def train(self, network: NetworkState, synthetic: SyntheticSet, update: int, stream: Stream) -> NetworkState:
        """The network after its training that follows the update of this number (from 0)."""
        batch = self._training.images_per_step if self._training else None
        if self._training is None or batch is None:
            return network
        ended = self._training.build()(self, update, stream)
        epoch = 0
        while not ended(network, epoch):
            network = self._epoch(network, synthetic, batch, stream.child("epoch", epoch))
            epoch += 1
        return network

    def _epoch(self, network: NetworkState, synthetic: SyntheticSet, batch: int, stream: Stream) -> NetworkState:
        """One pass over the set in shuffled batches, the last partial one kept; plain SGD, no momentum."""
        order = torch.randperm(len(synthetic.labels), generator=stream.child("order").generator())
        draws, size = stream.child("augmentation").generator(), synthetic.images_NCHW.shape[2]
        step_size = float(synthetic.step_size)  # once: on a GPU it waits for all that was begun
        for rows in torch.split(order.to(synthetic.labels.device), batch):
            images, strategy = synthetic.images_NCHW[rows], self._batches.strategy
            if strategy:
                drawn = augment.draw(strategy, batch=len(rows), height=size, width=size, generator=draws, siamese=False)
                images = augment.apply(images, drawn)
            gradient_P = inner_gradient(self._model, network.theta_P, images, synthetic.labels[rows])
            theta_P = network.theta_P.add(gradient_P, alpha=-step_size)
            network = NetworkState(theta_P, self._updated_statistics(network, images))
        return network

    def _updated_statistics(self, network: NetworkState, images_NCHW: Tensor) -> dict[str, Tensor]:
        if not self._model.has_running_statistics:
            return network.statistics
        return updated_statistics(
            network.statistics, self._model.forward_with_statistics(network.theta_P, images_NCHW)[1]
        )
