"""What every matching is given, and what it answers to the loop.

A matching owns an *episode*: it draws what one iteration imitates (segment, batches, augmentation: all by named
draws) and answers with gradients, not a loss, because the memory-saving kinds never own one graph. An episode may go
on after an update of the images, for example with a network that was trained on them in between.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.distillation.hypergradient.common import Gradients, Start, Trace
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.method import Method
from dcpipe.random import Stream
from dcpipe.workflow.task import Task


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything a matching may need to set itself up."""

    task: Task
    method: Method
    train: Images
    stream: Stream
    device: torch.device


class Episode(Protocol):
    """What one update of the images imitates."""

    @property
    def facts(self) -> dict[str, int | float]:
        """What the history should say of it, for example expert and start epoch."""
        ...


class Matching(Protocol):
    """A matching objective, ready to run."""

    def draw(self, iteration: int, num_images: int) -> Episode:
        """What this iteration imitates first, by draws named after the iteration."""
        ...

    def evaluate(self, synthetic: SyntheticSet, episode: Episode) -> tuple[Gradients, Trace]:
        """The matching loss's gradients with respect to what is learned, and what an outer optimiser may reuse."""
        ...

    def proceed(self, synthetic: SyntheticSet, episode: Episode) -> Episode | None:
        """What the same iteration imitates next, after an update that led to this set; None where it ends."""
        ...


class WithStudents(Matching, Protocol):
    """A matching whose gradients come through a student's inner loop."""

    def redraw(self, episode: Episode, num_images: int) -> Episode:
        """The same target with batches and augmentation drawn anew, by names of their own."""
        ...

    def evaluate(
        self, synthetic: SyntheticSet, episode: Episode, start: Start | None = None
    ) -> tuple[Gradients, Trace]:
        """As of any matching; `start` goes on from inside an earlier evaluation of the same target: its parameters, and
        the draws of the steps that are left.
        """
        ...


def without_inner_loop(images_NCHW: Tensor, loss: Tensor) -> tuple[Gradients, Trace]:
    """The answer of a matching whose loss does not come from a student's inner loop.

    Nothing is learned but the images: the step size's derivative is 0, and the trace holds the loss and no parameters.
    """
    nothing = loss.new_zeros(0)
    return Gradients(images_NCHW, loss.new_zeros(())), Trace(loss, (), nothing, nothing)
