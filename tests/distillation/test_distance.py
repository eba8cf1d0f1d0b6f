"""Laws of the distances between a student and its expert."""

import pytest
import torch
from tiny import parameters

from dcpipe.distillation.distances.trajectory_distance import displacement_distance, trajectory_distance
from dcpipe.errors import ExpertStalledError

START, TARGET, THETA = parameters("start"), parameters("target"), parameters("student")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_student_that_stays_put_has_distance_exactly_one(dtype):
    start, target = START.to(dtype), TARGET.to(dtype)
    noisy = (START + 0.01 * THETA).to(dtype)
    assert trajectory_distance(start, start, target).item() == 1
    assert displacement_distance(noisy, noisy, start, target).item() == 1


def test_the_target_has_distance_exactly_zero():
    assert trajectory_distance(TARGET, START, TARGET).item() == 0
    assert displacement_distance(TARGET, START, START, TARGET).item() == 0


def test_halfway_to_the_target_is_a_quarter():
    torch.testing.assert_close(
        trajectory_distance((START + TARGET) / 2, START, TARGET), torch.tensor(0.25, dtype=torch.float64)
    )


def test_the_unit_of_the_parameters_does_not_matter():
    near = trajectory_distance(THETA, START, TARGET)
    far = trajectory_distance(1000 * THETA, 1000 * START, 1000 * TARGET)
    torch.testing.assert_close(near, far, rtol=1e-12, atol=0)


def test_without_noise_the_two_distances_agree():
    torch.testing.assert_close(
        displacement_distance(THETA, START, START, TARGET),
        trajectory_distance(THETA, START, TARGET),
        rtol=1e-12,
        atol=0,
    )


def test_noise_shared_by_start_and_end_of_the_student_cancels():
    noise = parameters("noise")
    clean = displacement_distance(THETA, START, START, TARGET)
    noisy = displacement_distance(THETA + noise, START + noise, START, TARGET)
    torch.testing.assert_close(clean, noisy, rtol=1e-12, atol=0)
    assert not torch.isclose(clean, trajectory_distance(THETA + noise, START, TARGET))


def test_the_gradient_is_twice_the_gap_over_the_squared_way():
    theta = THETA.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(trajectory_distance(theta, START, TARGET), theta)
    expected = 2 * (THETA - TARGET) / (START - TARGET).square().sum()
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


def test_an_expert_that_did_not_move_is_an_error():
    with pytest.raises(ExpertStalledError, match="did not move"):
        trajectory_distance(THETA, START, START.clone())
    with pytest.raises(ExpertStalledError, match="did not move"):
        displacement_distance(THETA, THETA, START, START.clone())
