"""Which segment of which expert an iteration imitates."""

from dataclasses import dataclass

import torch

from dcpipe.params.trajectory import ContinuousTime, FixedRange


@dataclass(frozen=True, slots=True)
class Segment:
    """One expert, the time (in epochs) where the student starts, and the one whose parameters it should reach."""

    expert: int
    start: float
    target: float


def draw(what: FixedRange | ContinuousTime, num_experts: int, generator: torch.Generator) -> Segment:
    """An expert, and a start epoch or time, both uniform; the end of the range itself is never drawn.

    Source: MTT (arXiv:2203.11932), its public code, which draws epochs 0 .. max_start_epoch - 1; MCT
    (arXiv:2406.19827) for continuous times.
    """
    expert = int(torch.randint(num_experts, (), generator=generator))
    if isinstance(what, ContinuousTime):
        time = float(torch.rand((), generator=generator, dtype=torch.float64)) * what.max_start_epoch
        return Segment(expert, time, time + what.span_epochs)
    start = int(torch.randint(what.max_start_epoch, (), generator=generator))
    return Segment(expert, start, start + what.span_epochs)
