"""Laws of the SAM and GSAM directions: a quadratic where all is known, and softmax regression on digits."""

from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcpipe.experts.sharpness import (
    gsam_direction,
    orthogonal_part,
    perturbation,
    sam_direction,
    sgd_direction,
    sharpness,
)
from dcpipe.random import Stream

RADIUS, ALPHA = 0.05, 0.3
either_ball = pytest.mark.parametrize("adaptive", [False, True], ids=["plain", "adaptive"])

# L(theta) = 1/2 theta^T H theta - b^T theta
HESSIAN = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 0.25]], dtype=torch.float64)
LINEAR = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
THETA = torch.tensor([0.7, -0.2, 1.5], dtype=torch.float64)


def quadratic(theta: Tensor) -> Tensor:
    return theta @ HESSIAN @ theta / 2 - LINEAR @ theta


def quadratic_gradient(theta: Tensor) -> Tensor:
    return HESSIAN @ theta - LINEAR


def digits_loss(dtype: torch.dtype = torch.float64) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Cross-entropy of a softmax regression over 200 digits, and where to start: 650 parameters."""
    data = load_digits()
    x, y = torch.tensor(data.data[:200] / 16, dtype=dtype), torch.tensor(data.target[:200])
    generator = Stream.root(0, "theta").generator()
    theta = 0.3 * torch.randn(650, generator=generator, dtype=torch.float64).to(dtype)
    return lambda p: cross_entropy(x @ p[:640].view(64, 10) + p[640:], y), theta


@either_ball
def test_on_a_quadratic_every_part_is_its_closed_form(adaptive: bool) -> None:
    g = HESSIAN @ THETA - LINEAR
    scale = THETA.abs() if adaptive else torch.ones(3, dtype=torch.float64)
    e = RADIUS * scale**2 * g / (scale * g).norm()
    g_p = g + HESSIAN @ e
    d = g_p - ALPHA * (g - (g @ g_p) / (g_p @ g_p) * g_p)
    direction = gsam_direction(quadratic_gradient, THETA, radius=RADIUS, alpha=ALPHA, adaptive=adaptive)
    torch.testing.assert_close(direction.gradient_P, g, rtol=0, atol=0)
    torch.testing.assert_close(direction.perturbed_gradient_P, g_p, rtol=1e-11, atol=0)
    torch.testing.assert_close(direction.d_P, d, rtol=1e-11, atol=0)


@either_ball
def test_gsam_at_alpha_zero_is_sam(adaptive: bool) -> None:
    loss, theta = digits_loss()
    gradient = torch.func.grad(loss)
    sam = sam_direction(gradient, theta, radius=RADIUS, adaptive=adaptive)
    gsam = gsam_direction(gradient, theta, radius=RADIUS, alpha=0.0, adaptive=adaptive)
    assert torch.equal(gsam.d_P, sam.d_P)
    assert torch.equal(sam.d_P, sam.perturbed_gradient_P)
    assert not torch.equal(sam.d_P, sam.gradient_P)


@either_ball
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1.0, 1e-14])
def test_at_radius_zero_sam_and_gsam_are_the_plain_gradient_bit_for_bit(
    adaptive: bool, dtype: torch.dtype, factor: float
) -> None:
    loss, theta = digits_loss(dtype)
    gradient = torch.func.grad(lambda p: factor * loss(p))
    plain = gradient(theta)
    assert torch.equal(sgd_direction(gradient, theta).d_P, plain)
    assert torch.equal(sam_direction(gradient, theta, radius=0.0, adaptive=adaptive).d_P, plain)
    assert torch.equal(gsam_direction(gradient, theta, radius=0.0, alpha=1.0, adaptive=adaptive).d_P, plain)


@either_ball
def test_as_the_radius_shrinks_gsam_approaches_the_gradient_in_proportion(adaptive: bool) -> None:
    loss, theta = digits_loss()
    gradient = torch.func.grad(loss)
    plain = gradient(theta)
    gaps = [
        (gsam_direction(gradient, theta, radius=radius, alpha=ALPHA, adaptive=adaptive).d_P - plain).norm()
        for radius in (1e-3, 1e-4, 1e-5)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.01)
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.01)


@either_ball
def test_what_gsam_takes_away_is_orthogonal_to_the_perturbed_gradient(adaptive: bool) -> None:
    loss, theta = digits_loss()
    direction = gsam_direction(torch.func.grad(loss), theta, radius=0.5, alpha=ALPHA, adaptive=adaptive)
    g, g_p = direction.gradient_P, direction.perturbed_gradient_P
    taken = g_p - direction.d_P
    assert taken.norm() > 0.01 * ALPHA * g.norm()
    assert abs(taken @ g_p) < 1e-13 * g.norm() * g_p.norm()
    across = orthogonal_part(g, g_p)
    torch.testing.assert_close(taken, ALPHA * across, rtol=0, atol=1e-15)
    torch.testing.assert_close(across.norm() ** 2 + (g @ g_p / g_p.norm()) ** 2, g.norm() ** 2)


def test_the_perturbation_is_as_long_as_the_radius_and_uphill() -> None:
    loss, theta = digits_loss()
    g = torch.func.grad(loss)(theta)
    for radius in (1e-3, 0.05, 2.0):
        e = perturbation(theta, g, radius=radius, adaptive=False)
        assert e.norm().item() == pytest.approx(radius, rel=1e-10)
        assert (e @ g / (e.norm() * g.norm())).item() == pytest.approx(1, rel=1e-12)


def test_the_adaptive_perturbation_in_parameters_is_as_long_as_the_radius() -> None:
    loss, theta = digits_loss()
    e = perturbation(theta, torch.func.grad(loss)(theta), radius=RADIUS, adaptive=True)
    assert (e / theta).norm().item() == pytest.approx(RADIUS, rel=1e-10)
    # hence it never exceeds the radius times the largest parameter
    assert e.norm() < RADIUS * theta.abs().max()


def test_for_parameters_of_one_size_adaptive_is_plain_of_a_scaled_radius() -> None:
    loss, theta = digits_loss()
    gradient = torch.func.grad(loss)
    size = 0.02
    flat = size * theta.sign()
    adaptive = gsam_direction(gradient, flat, radius=RADIUS, alpha=ALPHA, adaptive=True)
    plain = gsam_direction(gradient, flat, radius=RADIUS * size, alpha=ALPHA, adaptive=False)
    torch.testing.assert_close(adaptive.d_P, plain.d_P, rtol=0, atol=1e-13)


def test_the_norm_runs_over_the_whole_vector() -> None:
    loss, theta = digits_loss()
    g = torch.func.grad(loss)(theta)
    weights = perturbation(theta[:640], g[:640], radius=RADIUS, adaptive=False)
    whole = perturbation(theta, g, radius=RADIUS, adaptive=False)[:640]
    torch.testing.assert_close(whole, weights * (g[:640].norm() / g.norm()), rtol=1e-10, atol=0)


@either_ball
def test_theta_is_left_as_it_was_and_the_second_pass_is_at_theta_plus_e(adaptive: bool) -> None:
    seen: list[Tensor] = []

    def gradient(theta: Tensor) -> Tensor:
        seen.append(theta.clone())
        return quadratic_gradient(theta)

    theta = THETA.clone()
    direction = sam_direction(gradient, theta, radius=RADIUS, adaptive=adaptive)
    e = perturbation(THETA, direction.gradient_P, radius=RADIUS, adaptive=adaptive)
    assert torch.equal(theta, THETA)
    assert len(seen) == 2
    assert torch.equal(seen[0], THETA)
    assert torch.equal(seen[1], THETA + e)


@either_ball
def test_where_the_gradient_vanishes_the_direction_is_zero(adaptive: bool) -> None:
    bottom = torch.linalg.solve(HESSIAN, LINEAR)
    direction = gsam_direction(
        lambda theta: HESSIAN @ (theta - bottom), bottom, radius=RADIUS, alpha=ALPHA, adaptive=adaptive
    )
    assert torch.equal(direction.d_P, torch.zeros(3, dtype=torch.float64))


def test_sharpness_on_a_quadratic_is_its_closed_form() -> None:
    g = quadratic_gradient(THETA)
    unit = g / g.norm()
    expected = RADIUS * g.norm() + RADIUS**2 / 2 * unit @ HESSIAN @ unit
    torch.testing.assert_close(sharpness(quadratic, THETA, g, RADIUS), expected, rtol=1e-10, atol=0)


def test_sharpness_per_radius_tends_to_the_length_of_the_gradient() -> None:
    loss, theta = digits_loss()
    g = torch.func.grad(loss)(theta)
    assert (sharpness(loss, theta, g, 1e-6) / 1e-6).item() == pytest.approx(g.norm().item(), rel=1e-4)
    assert sharpness(loss, theta, g, 0.0) == 0


def test_a_gsam_step_lowers_the_gap_more_than_a_sam_step() -> None:
    loss, theta = digits_loss()
    gradient = torch.func.grad(loss)
    gaps = {}
    for alpha in (0.0, 1.0):
        d = gsam_direction(gradient, theta, radius=0.5, alpha=alpha, adaptive=False).d_P
        after = theta - 0.01 * d
        gaps[alpha] = sharpness(loss, after, gradient(after), 0.5)
    assert gaps[1.0] < gaps[0.0] < sharpness(loss, theta, gradient(theta), 0.5)
