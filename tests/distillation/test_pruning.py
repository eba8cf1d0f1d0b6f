"""Laws of pruned coordinates: which count, and what the distance over them is."""

from functools import partial

import pytest
import torch
from tiny import apply, parameters, problem, solve

from dcpipe.distillation.coordinates.pruning import has_similar_magnitude, pruned
from dcpipe.distillation.distances.trajectory_distance import displacement_distance, trajectory_distance
from dcpipe.distillation.hypergradient import exact, unrolled
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.errors import ExpertStalledError

START, TARGET, THETA = parameters("start"), parameters("target"), parameters("student")
DISTANCE = partial(trajectory_distance, start_P=START, target_P=TARGET)


def test_at_threshold_zero_the_distance_is_mtts_bit_for_bit():
    assert has_similar_magnitude(THETA, TARGET, 0.0).all()
    assert has_similar_magnitude(torch.zeros(3), torch.tensor([0.0, 1.0, -1.0]), 0.0).all()
    assert torch.equal(pruned(DISTANCE, TARGET, 0.0)(THETA), DISTANCE(THETA))
    displaced = partial(displacement_distance, student_start_P=THETA + 1, start_P=START, target_P=TARGET)
    assert torch.equal(pruned(displaced, TARGET, 0.0)(THETA), displaced(THETA))


def test_near_is_the_ratio_of_the_magnitudes_whatever_their_unit():
    theta, target = torch.tensor([1.0, 2.0, -3.0, 4.0, 0.0]), torch.tensor([2.0, 1.0, 4.0, -0.5, 0.1])
    assert has_similar_magnitude(theta, target, 0.5).tolist() == [True, True, True, False, False]
    assert has_similar_magnitude(target, theta, 0.5).tolist() == [True, True, True, False, False]
    assert has_similar_magnitude(1e3 * theta, 1e3 * target, 0.5).tolist() == [True, True, True, False, False]


def test_a_higher_threshold_leaves_fewer_coordinates_one_the_equal_ones():
    counts = [int(has_similar_magnitude(THETA, TARGET, threshold).sum()) for threshold in (0.0, 0.1, 0.5, 0.9)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 4
    half = torch.where(torch.arange(len(THETA)) % 2 == 0, TARGET, THETA)
    assert torch.equal(has_similar_magnitude(half, TARGET, 1.0), torch.arange(len(THETA)) % 2 == 0)


def test_the_distance_is_that_of_vectors_without_pruned_coordinates():
    counts = has_similar_magnitude(THETA, TARGET, 0.3)
    expected = trajectory_distance(THETA[counts], START[counts], TARGET[counts])
    torch.testing.assert_close(pruned(DISTANCE, TARGET, 0.3)(THETA), expected, rtol=1e-12, atol=0)
    assert not torch.isclose(expected, DISTANCE(THETA), rtol=1e-3)


def test_pruned_coordinates_are_not_pulled():
    theta = THETA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pruned(DISTANCE, TARGET, 0.3)(theta), theta)
    counts = has_similar_magnitude(THETA, TARGET, 0.3)
    assert gradient[~counts].count_nonzero() == 0
    assert (gradient[counts] != 0).all()


def test_the_hypergradient_through_it_is_the_references():
    task = problem()
    objective = pruned(partial(trajectory_distance, start_P=task.start, target_P=task.target), task.target, 0.9)
    ours, theirs = (
        solve(kind.compute_hypergradient, make_inner_training(apply), **(task.keywords | {"objective": objective}))[0]
        for kind in (exact, unrolled)
    )
    torch.testing.assert_close(ours.images, theirs.images, rtol=1e-9, atol=1e-15)
    assert not torch.allclose(
        ours.images,
        solve(exact.compute_hypergradient, make_inner_training(apply), **task.keywords)[0].images,
        rtol=1e-3,
    )


def test_a_student_that_is_near_nowhere_is_an_error():
    with pytest.raises(ExpertStalledError, match=r"within 0\.99 of its target; lower outer\.coordinates\.threshold"):
        pruned(DISTANCE, TARGET, 0.99)(100 * THETA + 100)
