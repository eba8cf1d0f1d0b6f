"""Laws of the segments that are drawn: ranges end where they say, and a growing one begins and ends as fixed ones."""

import pytest
import torch

from dcpipe.distillation.segments import drawn_segments
from dcpipe.distillation.segments.segment_config import FixedRange, GrowingRange

GROWING = GrowingRange(
    kind="growing",
    min_start_epoch=3,
    first_max_start_epoch=5,
    max_start_epoch=9,
    growth_iterations=10,
    span_epochs=2,
)


def fixed(end: int) -> FixedRange:
    return FixedRange(kind="fixed", min_start_epoch=3, max_start_epoch=end, span_epochs=2)


def drawn(segment: FixedRange | GrowingRange, iteration: int, seed: int) -> drawn_segments.Segment:
    return segment.build()(4, iteration, torch.Generator().manual_seed(seed))


def test_a_growing_range_hits_both_ends_and_never_leaves_them() -> None:
    ends = [drawn_segments.end_of_range(GROWING, iteration) for iteration in range(14)]
    assert ends == [5, 5, 5, 6, 6, 7, 7, 7, 8, 8, 9, 9, 9, 9]
    for iteration, end in enumerate(ends):
        starts = {drawn(GROWING, iteration, seed).start for seed in range(100)}
        assert starts == set(range(3, end))


@pytest.mark.parametrize(("iteration", "end"), [(0, 5), (5, 7), (10, 9), (500, 9)])
def test_a_growing_range_draws_what_the_fixed_one_of_its_length_draws(iteration: int, end: int) -> None:
    for seed in range(20):
        assert drawn(GROWING, iteration, seed) == drawn(fixed(end), iteration, seed)


def test_targets_stand_the_span_after_starts() -> None:
    for seed in range(20):
        segment = drawn(GROWING, 7, seed)
        assert segment.target == segment.start + 2
        assert 0 <= segment.expert < 4
