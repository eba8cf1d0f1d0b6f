"""The published evaluation: a fresh network trained on the synthetic set, then tested on real images.

Source: the evaluation that DC, DSA, DM and the MTT family share in their public code: SGD with momentum and
weight decay; E + 1 passes; after pass E // 2 + 1 the rate is cut and a new optimiser is made. Batch norms train on
their batches' statistics and are tested with the running ones, which are never reset.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.experts.step import PassFunction, TrainingStep, forward_backward
from dcpipe.models.flat import FlatModel, Statistics, updated_statistics
from dcpipe.models.sgd import SGD
from dcpipe.params.evaluation import Evaluation
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A trained network: its parameters (P), and its batch norms' running statistics (empty without batch norm)."""

    theta_P: Tensor
    statistics: Statistics


def train(
    model: FlatModel,
    synthetic: SyntheticSet,
    config: Evaluation,
    rate: float,
    stream: Stream,
    start: TrainedNetwork | None = None,
    run_pass: PassFunction = forward_backward,
) -> TrainedNetwork:
    """One network trained on the set, at `rate` in the first half. Last partial batches are kept.

    It is fresh unless it is to go on from `start`, with a new optimiser.
    Raises: NonFiniteError if training diverged (values not finite).
    """
    images = synthetic.images_NCHW
    theta, statistics = (start.theta_P, start.statistics) if start else initial_network(model, images, stream)
    labels = training_labels(model, synthetic, config, theta, statistics)
    order_of, draws = stream.child("order").generator(), stream.child("augmentation").generator()
    step, augmented = training_step(model, config, run_pass), config.augmentation.build()
    for optimiser in optimisers(config, rate):
        order = torch.randperm(len(labels), generator=order_of).to(labels.device)
        for rows in torch.split(order, min(config.batch, len(labels))):
            _, direction, seen = step.direction(theta, *augmented(images[rows], labels[rows], draws))
            theta = optimiser.step(theta, direction)
            statistics = updated_statistics(statistics, seen)
    return refuse_non_finite_networks([TrainedNetwork(theta, statistics)])[0]


def initial_network(model: FlatModel, images_NCHW: Tensor, stream: Stream) -> tuple[Tensor, Statistics]:
    """Initial parameters and running statistics, on the images' device."""
    theta = model.initial_parameters(stream.child("initial").generator()).to(images_NCHW.device)
    return theta, {name: value.to(images_NCHW.device) for name, value in model.initial_statistics().items()}


def training_labels(
    model: FlatModel, synthetic: SyntheticSet, config: Evaluation, theta_P: Tensor, statistics: Statistics
) -> Tensor:
    """Classes (N) or probabilities (N x K): classes, too, become probabilities where the augmentation mixes labels."""
    labels = synthetic.targets
    if synthetic.is_soft or not config.augmentation.mixes_labels:
        return labels
    with torch.no_grad():  # a set need not have every class: the network says how many there are
        classes = model(theta_P, synthetic.images_NCHW[:1], statistics).shape[1]
    return torch.nn.functional.one_hot(labels, classes).to(synthetic.images_NCHW.dtype)


def training_step(model: FlatModel, config: Evaluation, run_pass: PassFunction = forward_backward) -> TrainingStep:
    """One step of a network's training on a batch that is augmented already: its sharpness-aware rule."""
    return TrainingStep(model, (), config.sharpness.build(), run_pass)


def optimisers(config: Evaluation, rate: float) -> Iterator[SGD]:
    """The optimiser of each of the E + 1 passes: one, and after the cut another."""
    optimiser = SGD(rate, config.momentum, config.weight_decay)
    for epoch in range(config.epochs + 1):
        yield optimiser
        if epoch == config.epochs // 2 + 1:
            optimiser = SGD(rate * config.decay, config.momentum, config.weight_decay)


def refuse_non_finite_networks(networks: Sequence[TrainedNetwork]) -> Sequence[TrainedNetwork]:
    """The networks themselves. Raises: NonFiniteError unless all their parameters are finite."""
    if not all(bool(torch.isfinite(network.theta_P).all()) for network in networks):
        problem = "a network trained on this set has parameters that are not finite"
        raise NonFiniteError(
            problem, remedy="use a protocol with a smaller learning rate; the set's step size may be too large"
        )
    return networks


Rates = Callable[[SyntheticSet], tuple[float, ...]]
"""A set -> the candidate rates of the first half, ascending."""


def own_learning_rate(synthetic: SyntheticSet) -> tuple[float, ...]:
    """The set's own step size."""
    return (float(synthetic.step_size),)


def protocol_rates(rates: tuple[float, ...], _synthetic: SyntheticSet) -> tuple[float, ...]:
    """The protocol's, whatever the set."""
    return rates
