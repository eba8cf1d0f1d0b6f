"""Laws of the accumulated trajectory error: FTD's equation 8, and on a quadratic its closed form."""

from itertools import pairwise

import torch
from tiny import apply, digits, problem
from torch import Tensor

from dcpipe.distillation.student import inner_gradient
from dcpipe.distillation.trajectory_errors import segment_errors
from dcpipe.random import Stream

STEPS, RATE = 3, 0.1


def _experts_path(segments: int) -> list[Tensor]:
    """A network trained on forty real digits, a checkpoint every other step."""
    images, labels = digits(40)
    path = [problem().start]
    for _ in range(segments):
        theta = path[-1]
        for _ in range(2):
            theta = theta - RATE * inner_gradient(apply, theta, images, labels)
        path.append(theta)
    return path


def _student(theta: Tensor, _segment: int) -> Tensor:
    task = problem()
    for _ in range(STEPS):
        theta = theta - RATE * inner_gradient(apply, theta, task.images, task.labels)
    return theta


def test_the_accumulated_error_is_its_two_parts_and_the_one_before() -> None:
    """Equation 8, on real digits in float64; the first segment starts on the path."""
    found = list(segment_errors(_student, _experts_path(5)))
    for one in found:
        parts = one.before_P + one.initialisation_P + one.matching_P
        torch.testing.assert_close(one.accumulated_P, parts, rtol=1e-12, atol=1e-14)
    assert not found[0].before_P.any()
    assert not found[0].initialisation_P.any()
    assert torch.equal(found[0].accumulated_P, found[0].matching_P)
    for one, after in pairwise(found):
        assert torch.equal(one.accumulated_P, after.before_P)
    assert float(found[-1].initialisation_P.norm()) > 0


def test_a_student_that_walks_as_the_expert_makes_no_error() -> None:
    path = _experts_path(4)
    for one in segment_errors(lambda _, segment: path[segment + 1], path):
        assert not any(bool(part.any()) for part in (one.accumulated_P, one.matching_P, one.initialisation_P))


def test_on_a_quadratic_errors_shrink_by_the_powers_of_one_step() -> None:
    """Students of a quadratic: t -> A t + b, so that initialisation is (A - 1) before, whatever the expert did."""
    draw = torch.randn(6, 6, generator=Stream.root(0, "hessian").generator(), dtype=torch.float64)
    hessian, goal = draw @ draw.T / 6, torch.linspace(-1, 1, 6, dtype=torch.float64)
    step = torch.eye(6, dtype=torch.float64) - RATE * hessian
    power = torch.linalg.matrix_power(step, STEPS)
    path = [torch.full((6,), float(epoch), dtype=torch.float64).cos() for epoch in range(5)]
    expected = torch.zeros(6, dtype=torch.float64)
    for one in segment_errors(lambda theta, _: goal + power @ (theta - goal), path):
        torch.testing.assert_close(one.initialisation_P, power @ one.before_P - one.before_P)
        expected = power @ expected + one.matching_P
        torch.testing.assert_close(one.accumulated_P, expected)
