"""The published evaluation: a fresh network trained on the synthetic set, then tested on real images.

Source: the evaluation that DC, DSA, DM and the MTT family share in their public code: SGD with momentum and
weight decay; E + 1 passes; after pass E // 2 + 1 the rate is cut and the optimiser made anew. Batch norms train on
their batches' statistics and are tested with the running ones, which nothing starts anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.experts.step import Step
from dcpipe.models.flat import FlatModel, Statistics, blended
from dcpipe.models.sgd import SGD
from dcpipe.params.evaluation import Evaluation, FixedRate, SearchedRate
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network: its parameters (P), and its batch norms' running statistics (empty without batch norm)."""

    theta_P: Tensor
    statistics: Statistics


def train(model: FlatModel, synthetic: SyntheticSet, what: Evaluation, rate: float, stream: Stream) -> Trained:
    """One fresh network trained on the set, at `rate` in the first half. Last partial batches are kept.

    Raises: NonFiniteError if training left the finite numbers.
    """
    images, labels = synthetic.images_NCHW, synthetic.targets
    theta, statistics = start(model, images, stream)
    order_of, draws = stream.child("order").generator(), stream.child("augmentation").generator()
    step = Step(model, augment.parse(what.augmentation), what.sharpness)
    for optimiser in optimisers(what, rate):
        order = torch.randperm(len(labels), generator=order_of).to(labels.device)
        for rows in torch.split(order, min(what.batch, len(labels))):
            _, direction, seen = step(theta, images[rows], labels[rows], draws)
            theta = optimiser.step(theta, direction)
            statistics = blended(statistics, seen)
    return finite([Trained(theta, statistics)])[0]


def start(model: FlatModel, images_NCHW: Tensor, stream: Stream) -> tuple[Tensor, Statistics]:
    """Initial parameters and running statistics, on the images' device."""
    theta = model.initial(stream.child("initial").generator()).to(images_NCHW.device)
    return theta, {name: value.to(images_NCHW.device) for name, value in model.initial_statistics().items()}


def optimisers(what: Evaluation, rate: float) -> Iterator[SGD]:
    """The optimiser of each of the E + 1 passes: one, and after the cut another."""
    optimiser = SGD(rate, what.momentum, what.weight_decay)
    for epoch in range(what.epochs + 1):
        yield optimiser
        if epoch == what.epochs // 2 + 1:
            optimiser = SGD(rate * what.decay, what.momentum, what.weight_decay)


def finite(networks: Sequence[Trained]) -> Sequence[Trained]:
    """The networks themselves. Raises: NonFiniteError unless all their parameters are finite."""
    if not all(bool(torch.isfinite(network.theta_P).all()) for network in networks):
        what_happened = "a network trained on this set has parameters that are not finite"
        raise NonFiniteError(what_happened, remedy="its step size may be too large for this protocol")
    return networks


def rates(what: Evaluation, synthetic: SyntheticSet) -> tuple[float, ...]:
    """The rates of the first half that are in question: the protocol's, the set's own step size, or several."""
    given = what.learning_rate
    if isinstance(given, SearchedRate):
        return tuple(given.values)
    return (given.value if isinstance(given, FixedRate) else float(synthetic.step_size),)
