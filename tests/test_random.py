"""Laws of the named streams: a draw depends on its name alone, and nothing else is touched."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import repository
from dcpipe.random import Stream

NAMES = st.lists(st.one_of(st.text(max_size=3), st.integers(-2, 20)), max_size=4)


def _draw(stream: Stream) -> torch.Tensor:
    return torch.randn(4, generator=stream.generator())


def test_a_draw_does_not_depend_on_the_order_in_which_streams_are_made() -> None:
    root = Stream.root(0, "distill", "digits")
    forwards = [_draw(root.child("iteration", i)) for i in range(5)]
    backwards = [_draw(root.child("iteration", i)) for i in reversed(range(5))]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_a_generator_starts_afresh_and_children_may_be_named_at_once() -> None:
    stream = Stream.root(3, "a").child("b").child(1)
    assert stream == Stream.root(3, "a", "b", 1)
    assert torch.equal(_draw(stream), _draw(stream))


@settings(derandomize=True)
@given(NAMES, NAMES)
def test_other_names_are_other_streams(first: list[str | int], second: list[str | int]) -> None:
    """Also where names run together, or a number is spelled as text."""
    seeds = Stream.root(0, *first).seed, Stream.root(0, *second).seed
    assert (seeds[0] == seeds[1]) == (first == second)


def test_names_that_run_together_and_numbers_as_text_are_told_apart() -> None:
    names: list[tuple[str | int, ...]] = [
        ("ab",),
        ("a", "b"),
        ("b", "a"),
        ("ab", ""),
        (1,),
        ("1",),
        (1, 1),
        ("astr:b",),
    ]
    assert len({Stream.root(0, *name).seed for name in names}) == len(names)


def test_seeds_are_what_a_generator_takes() -> None:
    seeds = [Stream.root(seed, "x").seed for seed in (0, 1, 10**30)]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.slow
def test_no_stage_touches_or_reads_a_global_generator(made: Path, root: Path) -> None:
    """Reading one would advance it: equal states show both. (`made` imports what seeds itself when imported.)"""
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    cell = {**repository.CELL, "evaluation": "digits-val-best", "network": "native"}
    repository.make_inputs(root, "evaluate", **cell)
    repository.make(root, "evaluate", **cell)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
