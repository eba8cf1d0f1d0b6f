"""Laws of bfloat16: what is rounded and what is not, by autograd and by the analytic derivatives."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dcpipe import device
from dcpipe.distillation.hypergradient.analytic_derivatives import AnalyticDerivatives
from dcpipe.distillation.hypergradient.autograd_derivatives import AutogradDerivatives
from dcpipe.distillation.hypergradient.hypergradient_problem import StepDerivatives
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.random import Stream

SHAPE = {"channels": 3, "image_size": 16, "classes": 5}
NETWORK = "convnet2-w16"


def _point(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parameters, images, classes and a vector."""
    generator = Stream.root(0, "precision").generator()
    theta_P = build(NETWORK, **SHAPE).initial_parameters(generator)
    x_BCHW, v_P = torch.randn(6, 3, 16, 16, generator=generator), torch.randn(len(theta_P), generator=generator)
    return theta_P.to(dtype), x_BCHW.to(dtype), torch.arange(6) % 5, v_P.to(dtype)


def _analytic(precision: str) -> StepDerivatives:
    derivatives = ConvNetDerivatives.from_name(NETWORK, **SHAPE, precision=precision)
    assert derivatives is not None
    return AnalyticDerivatives(derivatives)


def _by_autograd(precision: str) -> StepDerivatives:
    return AutogradDerivatives(build(NETWORK, **SHAPE, precision=precision))


WAYS = pytest.mark.parametrize("way", [_analytic, _by_autograd], ids=["analytic", "autograd"])


def _numbers(derivatives: StepDerivatives, dtype: torch.dtype) -> list[Tensor]:
    """A gradient, and its pullback by parameters and images."""
    theta_P, x_BCHW, labels, v_P = _point(dtype)
    part = derivatives.gradient_with_pullback(theta_P, x_BCHW, labels)
    pulled = part.pullback(v_P, through_parameters=True)
    assert pulled.theta is not None
    return [part.gradient, pulled.theta, pulled.images]


def test_logits_are_those_of_rounded_convolutions_between_float32() -> None:
    theta_P, x, _, _ = _point(torch.float32)
    model = build(NETWORK, **SHAPE, precision="bfloat16")
    names = list(model.unflatten(theta_P).values())
    for kernel, bias, scale, shift in (names[0:4], names[4:8]):
        x = functional.conv2d(x.bfloat16(), kernel.bfloat16(), bias.bfloat16(), padding=1).float()
        x = functional.avg_pool2d(functional.group_norm(x, len(scale), scale, shift).relu(), 2)
    weight, bias = names[8:]
    wanted = functional.linear(x.flatten(1).bfloat16(), weight.bfloat16(), bias.bfloat16()).float()
    assert torch.equal(model(theta_P, _point(torch.float32)[1]), wanted)


@WAYS
def test_float64_is_never_rounded(way) -> None:  # type: ignore[no-untyped-def]
    for one, other in zip(
        _numbers(way("bfloat16"), torch.float64), _numbers(way("float32"), torch.float64), strict=True
    ):
        assert torch.equal(one, other)


@WAYS
def test_everything_given_is_float32_and_as_near_as_bfloat16_is(way) -> None:  # type: ignore[no-untyped-def]
    exact = _numbers(way("float32"), torch.float64)
    for found, wanted in zip(_numbers(way("bfloat16"), torch.float32), exact, strict=True):
        assert found.dtype == torch.float32
        error = float((found - wanted).norm() / wanted.norm())
        assert 2**-9 < error < 32 * 2**-8  # it does round; two convolutions and their derivatives round 2^-9 each


def test_both_ways_are_as_far_from_the_truth() -> None:
    exact = _numbers(_analytic("float32"), torch.float64)
    far = [
        [
            float((found - wanted).norm())
            for found, wanted in zip(_numbers(way("bfloat16"), torch.float32), exact, strict=True)
        ]
        for way in (_analytic, _by_autograd)
    ]
    for analytic, by_autograd in zip(*far, strict=True):
        assert 0.5 < analytic / by_autograd < 2


def test_features_are_rounded_too() -> None:
    theta_P, x_BCHW, _, _ = _point(torch.float32)
    rounded, plain = (
        partial(build(NETWORK, **SHAPE, precision=one).features, theta_P) for one in ("bfloat16", "float32")
    )
    difference = float((rounded(x_BCHW) - plain(x_BCHW)).norm() / plain(x_BCHW).norm())
    assert 2**-10 < difference < 2**-4


def test_running_statistics_are_of_float32() -> None:
    model = build("resnet18-bn", channels=3, image_size=32, classes=5, precision="bfloat16")
    theta_P = model.initial_parameters(Stream.root(0, "bn").generator())
    logits, seen = model.forward_with_statistics(
        theta_P, torch.randn(4, 3, 32, 32, generator=Stream.root(0, "x").generator())
    )
    assert {one.dtype for one in (logits, *seen.values())} == {torch.float32}


def test_tf32_is_a_switch_of_nvidias_devices_that_the_next_job_finds_off() -> None:
    """A CPU has no such units: the bits are float32's."""
    device.configure_torch(1)
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    assert not any(one.allow_tf32 for one in switches)
    theta_P, x_BCHW, *_ = _point(torch.float32)
    plain = build(NETWORK, **SHAPE)(theta_P, x_BCHW)
    assert torch.equal(build(NETWORK, **SHAPE, precision="tf32")(theta_P, x_BCHW), plain)
    assert all(one.allow_tf32 for one in switches)
    device.configure_torch(1)
    assert not any(one.allow_tf32 for one in switches)
