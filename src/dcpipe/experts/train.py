"""Training one expert on the real data, all of it resident on the device."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.store import Images
from dcpipe.errors import NonFiniteError
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.experts.convex import step_lengths
from dcpipe.experts.step import Step
from dcpipe.models.flat import FlatModel, Statistics, blended
from dcpipe.models.sgd import SGD
from dcpipe.params.experts import Experts
from dcpipe.random import Stream


@dataclass(slots=True)
class Progress:
    """An expert in training: its epoch, parameters, velocity, and what has been kept of it so far."""

    epoch: int
    theta_P: Tensor
    statistics: Statistics  # running ones of its batch norms; empty without batch norm
    velocity_P: Tensor | None = None
    kept: list[Tensor] = field(default_factory=list)
    kept_statistics: list[Tensor] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    lengths: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trainer:
    """Everything that one expert's training needs besides its progress."""

    model: FlatModel
    train: Images
    watched: Images  # what accuracies are logged on: val where there is one, else train
    params: Experts
    kept_epochs: Sequence[int]
    stream: Stream

    def start(self) -> Progress:
        """An untrained expert, epoch 0 recorded."""
        device = self.train.images_NCHW.device
        theta = self.model.initial(self.stream.child("initial").generator()).to(device)
        statistics = {name: value.to(device) for name, value in self.model.initial_statistics().items()}
        progress = Progress(0, theta, statistics)
        self._record(progress)
        return progress

    def run(self, progress: Progress, after_epoch: Callable[[Progress], None]) -> Progress:
        """Train to the last epoch; `after_epoch` may save or leave.

        Raises: NonFiniteError if a loss or a parameter is not finite, before that epoch is recorded.
        """
        while progress.epoch < self.params.epochs:
            self._epoch(progress)
            self._record(progress)
            after_epoch(progress)
        return progress

    def _record(self, progress: Progress) -> None:
        if progress.epoch in self.kept_epochs:
            progress.kept.append(progress.theta_P.detach().cpu().clone())
            progress.kept_statistics.append(self.model.pack(progress.statistics).cpu())
        progress.accuracies.append(accuracy(self.model, progress.theta_P, self.watched, progress.statistics))

    def _epoch(self, progress: Progress) -> None:
        optimiser = SGD(self.params.learning_rate, self.params.momentum, self.params.weight_decay, progress.velocity_P)
        order = torch.randperm(
            len(self.train.labels_N), generator=self.stream.child("order", progress.epoch).generator()
        ).to(self.train.labels_N.device)
        draws = self.stream.child("augmentation", progress.epoch).generator()
        total = torch.zeros((), device=order.device)
        before_P = progress.theta_P
        step = Step(self.model, augment.parse_strategy(self.params.augmentation), self.params.sharpness.build())
        for rows in torch.split(order, self.params.batch):
            batch = self.train.images_NCHW[rows], self.train.labels_N[rows]
            loss, direction, seen = step(progress.theta_P, *batch, draws)
            progress.theta_P = optimiser.step(progress.theta_P, direction)
            progress.statistics = blended(progress.statistics, seen)
            total += loss * len(rows)
        mean = float(total) / len(order)
        if not math.isfinite(mean) or not bool(torch.isfinite(progress.theta_P).all()):
            problem = f"the training loss or the parameters are not finite in epoch {progress.epoch + 1}"
            raise NonFiniteError(problem, remedy="lower the experts' learning_rate")
        progress.velocity_P = optimiser.velocity_P
        progress.losses.append(mean)
        progress.lengths.append(step_lengths(before_P, progress.theta_P, self.tiles).tolist())
        progress.epoch += 1

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Offset and size of each tensor in the parameter vector."""
        return [(spec.offset, spec.size) for spec in self.model.layout]
