"""The published evaluation: a fresh network trained on the synthetic set, then tested on real images.

Source: the evaluation that DC, DSA, DM and the MTT family share in their public code: SGD with momentum and
weight decay; E + 1 passes; after pass E // 2 + 1 the rate is cut and the optimiser made anew.
"""

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.distill.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.experts.step import Step
from dcpipe.models.flat import FlatModel
from dcpipe.params.evaluation import Evaluation, FixedRate
from dcpipe.random import Stream
from dcpipe.sgd import SGD


def learning_rate(what: Evaluation, synthetic: SyntheticSet) -> float:
    """The rate of the first half: the protocol's, or the set's own step size."""
    if isinstance(what.learning_rate, FixedRate):
        return what.learning_rate.value
    return float(synthetic.step_size)


def train(model: FlatModel, synthetic: SyntheticSet, what: Evaluation, stream: Stream) -> Tensor:
    """The parameters (P) of one fresh network trained on the set. Last partial batches are kept.

    Raises: NonFiniteError if training left the finite numbers.
    """
    images, labels = synthetic.images_NCHW, synthetic.labels
    theta = model.initial(stream.child("initial").generator()).to(images.device)
    order_of = stream.child("order").generator()
    rate = learning_rate(what, synthetic)
    step = Step(model, augment.parse(what.augmentation), what.sharpness)
    draws = stream.child("augmentation").generator()
    optimiser = SGD(rate, what.momentum, what.weight_decay)
    for epoch in range(what.epochs + 1):
        order = torch.randperm(len(labels), generator=order_of).to(labels.device)
        for rows in torch.split(order, min(what.batch, len(labels))):
            _, gradient = step(theta, images[rows], labels[rows], draws)
            theta = optimiser.step(theta, gradient)
        if epoch == what.epochs // 2 + 1:
            optimiser = SGD(rate * what.decay, what.momentum, what.weight_decay)
    if not bool(torch.isfinite(theta).all()):
        what_happened = "a network trained on this set has parameters that are not finite"
        raise NonFiniteError(what_happened, remedy="its step size may be too large for this protocol")
    return theta
