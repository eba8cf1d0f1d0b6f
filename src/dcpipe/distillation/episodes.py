"""Matchings and their episodes.

A matching draws an *episode*, which is what one update of the images imitates (segment, batches, augmentation: all by
named draws). An episode returns gradients, not a loss to differentiate, because the memory-saving kinds of
hypergradient never own one graph. It may be followed by another one of the same iteration, after an update of the
images: for example with a network that was trained on them in between.
"""

from typing import Protocol

from torch import Tensor

from dcpipe.distillation.matching_results import MatchingResult, StudentResult, StudentStart
from dcpipe.distillation.synthetic_set import SyntheticSet


class Episode(Protocol):
    """What one update of the images imitates."""

    @property
    def facts(self) -> dict[str, int | float]:
        """What the history should say of it, for example expert and start epoch."""
        ...

    @property
    def as_student_episode(self) -> "StudentEpisode | None":
        """The same episode, where its loss comes from a student's inner loop; else None."""
        ...

    def evaluate(self, synthetic: SyntheticSet) -> MatchingResult:
        """The matching loss of the set, and its gradients with respect to what is learned."""
        ...

    def next_episode(self, synthetic: SyntheticSet) -> "Episode | None":
        """What the same iteration imitates next, after an update that led to this set; None where it ends."""
        ...


class StudentEpisode(Protocol):
    """An episode whose gradients come through a student's inner loop."""

    @property
    def target_P(self) -> Tensor:  # noqa: N802 (shape letters are capital)
        """The parameters (P) that the student should reach."""
        ...

    def evaluate(self, synthetic: SyntheticSet, start: StudentStart | None = None) -> StudentResult:
        """As of any episode; `start` goes on from inside an earlier evaluation: its parameters, and the draws of the
        steps that are left.
        """
        ...

    def with_new_draws(self, num_images: int) -> "StudentEpisode":
        """The same target with batches and augmentation drawn anew, by names of their own."""
        ...


class Matching(Protocol):
    """A matching objective, ready to run."""

    def draw_episode(self, iteration: int, num_images: int) -> Episode:
        """What this iteration imitates first, by draws named after the iteration."""
        ...
