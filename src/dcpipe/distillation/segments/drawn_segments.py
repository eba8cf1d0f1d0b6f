"""Which segment of which expert an iteration imitates.

An expert, and a start epoch or time, both uniform; the end of the range itself is never drawn.
Source: MTT (arXiv:2203.11932), its public code, which draws epochs 0 .. max_start_epoch - 1; MCT (arXiv:2406.19827) for
continuous times; DATM (arXiv:2310.05773), its public code, for growing ranges.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from dcpipe.distillation.segments.segment_config import ContinuousTime, FixedRange, GrowingRange


@dataclass(frozen=True, slots=True)
class Segment:
    """One expert, the time (in epochs) where the student starts, and the one whose parameters it should reach."""

    expert: int
    start: float
    target: float


class SegmentRule(Protocol):
    """Draws the segment of an iteration, of one of so many experts."""

    def __call__(self, num_experts: int, iteration: int, generator: torch.Generator) -> Segment: ...


def fixed(config: "FixedRange", num_experts: int, _iteration: int, generator: torch.Generator) -> Segment:
    """A start epoch of a range that never changes."""
    return _draw_segment(config.min_start_epoch, config.max_start_epoch, config.span_epochs, num_experts, generator)


def growing(config: "GrowingRange", num_experts: int, iteration: int, generator: torch.Generator) -> Segment:
    """A start epoch of a range that grows with the iterations."""
    return _draw_segment(
        config.min_start_epoch, end_of_range(config, iteration), config.span_epochs, num_experts, generator
    )


def continuous(config: "ContinuousTime", num_experts: int, _iteration: int, generator: torch.Generator) -> Segment:
    """A start time between epochs."""
    expert = int(torch.randint(num_experts, (), generator=generator))
    time = float(torch.rand((), generator=generator, dtype=torch.float64)) * config.max_start_epoch
    return Segment(expert, time, time + config.span_epochs)


def _draw_segment(first: int, end: int, span: int, num_experts: int, generator: torch.Generator) -> Segment:
    expert = int(torch.randint(num_experts, (), generator=generator))
    start = int(torch.randint(first, end, (), generator=generator))
    return Segment(expert, start, start + span)


def end_of_range(config: "GrowingRange", iteration: int) -> int:
    """The epoch that starts stay below in an iteration."""
    grown = (config.max_start_epoch - config.first_max_start_epoch) * iteration // config.growth_iterations
    return min(config.first_max_start_epoch + grown, config.max_start_epoch)
