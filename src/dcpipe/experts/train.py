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
from dcpipe.experts.step import PassFunction, TrainingStep, forward_backward
from dcpipe.models.flat import FlatModel, Statistics, updated_statistics
from dcpipe.models.sgd import SGD
from dcpipe.params.experts import Experts
from dcpipe.random import Stream


@dataclass(slots=True)
class ExpertProgress:
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


Within = Callable[[ExpertProgress, int, int], None]
"""Called before a batch with the progress at the epoch's start, and how many of how many batches are done."""


@dataclass(frozen=True, slots=True)
class ExpertTrainer:
    """Everything that one expert's training needs besides its progress."""

    model: FlatModel
    train: Images
    watched: Images  # what accuracies are logged on: of val where there is one, else of train
    params: Experts
    kept_epochs: Sequence[int]
    stream: Stream
    run_pass: PassFunction = forward_backward

    def initial_progress(self) -> ExpertProgress:
        """An untrained expert, epoch 0 recorded."""
        device = self.train.images_NCHW.device
        theta = self.model.initial_parameters(self.stream.child("initial").generator()).to(device)
        statistics = {name: value.to(device) for name, value in self.model.initial_statistics().items()}
        progress = ExpertProgress(0, theta, statistics)
        self._record(progress)
        return progress

    def run(
        self,
        progress: ExpertProgress,
        after_epoch: Callable[[ExpertProgress], None],
        within_epoch: Within = lambda *_: None,
    ) -> ExpertProgress:
        """Train to the last epoch; `after_epoch` may save or leave, and so may `within_epoch`, before each batch.

        `within_epoch` is given the progress as it was when the epoch began, and how many of how many batches are done.

        Raises: NonFiniteError if a loss or a parameter is not finite, before that epoch is recorded.
        """
        while progress.epoch < self.params.epochs:
            self._epoch(progress, within_epoch)
            self._record(progress)
            after_epoch(progress)
        return progress

    def _record(self, progress: ExpertProgress) -> None:
        if progress.epoch in self.kept_epochs:
            progress.kept.append(progress.theta_P.detach().cpu().clone())
            progress.kept_statistics.append(self.model.pack(progress.statistics).cpu())
        progress.accuracies.append(accuracy(self.model, progress.theta_P, self.watched, progress.statistics))

    def _epoch(self, progress: ExpertProgress, within_epoch: Within) -> None:
        """One epoch. Nothing of `progress` changes before its last batch is done."""
        optimiser = SGD(self.params.learning_rate, self.params.momentum, self.params.weight_decay, progress.velocity_P)
        order = torch.randperm(
            len(self.train.labels_N), generator=self.stream.child("order", progress.epoch).generator()
        ).to(self.train.labels_N.device)
        draws = self.stream.child("augmentation", progress.epoch).generator()
        total = torch.zeros((), device=order.device)
        theta_P, statistics = progress.theta_P, progress.statistics
        strategy = augment.parse_strategy(self.params.augmentation)
        step = TrainingStep(self.model, strategy, self.params.sharpness.build(), self.run_pass)
        batches = torch.split(order, self.params.batch)
        for done, rows in enumerate(batches):
            within_epoch(progress, done, len(batches))
            batch = self.train.images_NCHW[rows], self.train.labels_N[rows]
            loss, direction, seen = step(theta_P, *batch, draws)
            theta_P = optimiser.step(theta_P, direction)
            statistics = updated_statistics(statistics, seen)
            total += loss * len(rows)
        mean = float(total) / len(order)
        if not math.isfinite(mean) or not bool(torch.isfinite(theta_P).all()):
            problem = f"the training loss or the parameters are not finite in epoch {progress.epoch + 1}"
            raise NonFiniteError(problem, remedy="lower the experts' learning_rate")
        progress.losses.append(mean)
        progress.lengths.append(step_lengths(progress.theta_P, theta_P, self.tensor_slices).tolist())
        progress.theta_P, progress.statistics, progress.velocity_P = theta_P, statistics, optimiser.velocity_P
        progress.epoch += 1

    @property
    def tensor_slices(self) -> list[tuple[int, int]]:
        """Offset and size of each tensor in the parameter vector."""
        return [(spec.offset, spec.size) for spec in self.model.layout]
