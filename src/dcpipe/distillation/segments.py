"""Which segment of which expert an iteration imitates."""

from dataclasses import dataclass

import torch

from dcpipe.params.trajectory import ContinuousTime, FixedRange, GrowingRange


@dataclass(frozen=True, slots=True)
class Segment:
    """One expert, the time (in epochs) where the student starts, and the one whose parameters it should reach."""

    expert: int
    start: float
    target: float


def draw(
    what: FixedRange | GrowingRange | ContinuousTime, num_experts: int, iteration: int, generator: torch.Generator
) -> Segment:
    """An expert, and a start epoch or time, both uniform; the end of the range itself is never drawn.

    Source: MTT (arXiv:2203.11932), its public code, which draws epochs 0 .. max_start_epoch - 1; MCT
    (arXiv:2406.19827) for continuous times; DATM (arXiv:2310.05773), its public code, for growing ranges.
    """
    expert = int(torch.randint(num_experts, (), generator=generator))
    if isinstance(what, ContinuousTime):
        time = float(torch.rand((), generator=generator, dtype=torch.float64)) * what.max_start_epoch
        return Segment(expert, time, time + what.span_epochs)
    start = int(torch.randint(what.min_start_epoch, end_at(what, iteration), (), generator=generator))
    return Segment(expert, start, start + what.span_epochs)


def end_at(what: FixedRange | GrowingRange, iteration: int) -> int:
    """The epoch that starts stay below in an iteration."""
    if isinstance(what, FixedRange):
        return what.max_start_epoch
    grown = (what.max_start_epoch - what.first_max_start_epoch) * iteration // what.growth_iterations
    return min(what.first_max_start_epoch + grown, what.max_start_epoch)
