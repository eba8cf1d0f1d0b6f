"""Several networks trained at once on one set: the same arithmetic as one after the other, over one more axis.

Each network keeps its own initial parameters, order and augmentation, by the same named draws as `protocol.train`;
only sums inside a kernel may be taken in another order, so that parameters agree with those of single networks to
rounding and not to the bit. The number of networks at once is a param for that reason.

Legend: M networks, N images in the set, B in a batch, C channels, H W pixels, P parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation.protocol import (
    TrainedNetwork,
    initial_network,
    optimisers,
    refuse_non_finite_networks,
    training_labels,
    training_step,
)
from dcpipe.experts.step import Passed, batch_loss
from dcpipe.models.flat import FlatModel, Statistics, updated_statistics
from dcpipe.params.evaluation import Evaluation
from dcpipe.random import Stream


def train(
    model: FlatModel,
    synthetic: SyntheticSet,
    config: Evaluation,
    rate: float,
    streams: Sequence[Stream],
    starts: Sequence[TrainedNetwork] | None = None,
) -> Sequence[TrainedNetwork]:
    """One network for each stream, as `protocol.train` trains it.

    Raises: NonFiniteError if the training of one network diverged (values not finite).
    """
    images = synthetic.images_NCHW
    first = starts or [TrainedNetwork(*initial_network(model, images, stream)) for stream in streams]
    labels = training_labels(model, synthetic, config, first[0].theta_P, first[0].statistics)
    thetas_MP = torch.stack([one.theta_P for one in first])
    statistics = {name: torch.stack([one.statistics[name] for one in first]) for name in first[0].statistics}
    orders_of = [stream.child("order").generator() for stream in streams]
    draws_of = [stream.child("augmentation").generator() for stream in streams]
    directions = vmap(training_step(model, config, functional_forward_backward).direction)
    augmented = config.augmentation.build()
    for optimiser in optimisers(config, rate):
        orders_MN = torch.stack([torch.randperm(len(labels), generator=one) for one in orders_of]).to(labels.device)
        for rows_MB in torch.split(orders_MN, min(config.batch, len(labels)), dim=1):
            pairs = zip(rows_MB, draws_of, strict=True)
            batches = [augmented(images[rows], labels[rows], draws) for rows, draws in pairs]
            images_MBCHW, labels_MB = (torch.stack(part) for part in zip(*batches, strict=True))
            _, directions_MP, seen = directions(thetas_MP, images_MBCHW, labels_MB)
            thetas_MP = optimiser.step(thetas_MP, directions_MP)
            statistics = updated_statistics(statistics, seen)
    return refuse_non_finite_networks(
        [TrainedNetwork(theta, _row(statistics, index)) for index, theta in enumerate(thetas_MP)]
    )


def functional_forward_backward(model: FlatModel, theta_P: Tensor, x_NCHW: Tensor, y_N: Tensor) -> Passed:
    """`forward_backward` as a function that can be mapped over networks."""

    def loss(at_P: Tensor) -> tuple[Tensor, Statistics]:
        return batch_loss(model, at_P, x_NCHW, y_N)

    gradient_P, (value, seen) = grad_and_value(loss, has_aux=True)(theta_P)
    return value, gradient_P, seen


def _row(statistics: Statistics, index: int) -> Statistics:
    return {name: values[index] for name, values in statistics.items()}
