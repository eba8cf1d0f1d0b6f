"""Which segment of which expert an iteration imitates."""

from dataclasses import dataclass

import torch

from dcpipe.params.method import FixedRange


@dataclass(frozen=True, slots=True)
class Segment:
    """One expert, the epoch where the student starts, and the epoch whose parameters it should reach."""

    expert: int
    start: int
    target: int


def draw_fixed(what: FixedRange, num_experts: int, generator: torch.Generator) -> Segment:
    """An expert and a start epoch, both uniform; max_start_epoch itself is never drawn.

    Source: MTT (arXiv:2203.11932), its public code, which draws from 0 .. max_start_epoch - 1.
    """
    expert = int(torch.randint(num_experts, (), generator=generator))
    start = int(torch.randint(what.max_start_epoch, (), generator=generator))
    return Segment(expert, start, start + what.span_epochs)
