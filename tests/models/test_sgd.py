"""Our SGD is torch.optim.SGD, bit for bit."""

from itertools import product

import pytest
import torch
from torch import nn

from dcpipe.models.sgd import SGD
from dcpipe.random import Stream


def test_ten_steps_equal_those_of_pytorch(subtests: pytest.Subtests) -> None:
    for momentum, weight_decay, dtype in product((0.0, 0.5, 0.9), (0.0, 5e-4), (torch.float32, torch.float64)):
        with subtests.test(momentum=momentum, weight_decay=weight_decay, dtype=str(dtype)):
            _equal_ten_steps_of_pytorch(momentum, weight_decay, dtype)


def _equal_ten_steps_of_pytorch(momentum: float, weight_decay: float, dtype: torch.dtype) -> None:
    draw = Stream.root(0, "sgd").generator()
    theta_P = torch.randn(1000, generator=draw, dtype=dtype)
    parameter = nn.Parameter(theta_P.clone())
    theirs = torch.optim.SGD([parameter], lr=0.037, momentum=momentum, weight_decay=weight_decay)
    ours = SGD(0.037, momentum, weight_decay)
    for _ in range(10):
        gradient_P = torch.randn(1000, generator=draw, dtype=dtype)
        theta_P = ours.step(theta_P, gradient_P)
        parameter.grad = gradient_P.clone()
        theirs.step()
        assert torch.equal(theta_P, parameter.data)


def test_a_step_leaves_its_inputs_alone() -> None:
    theta_P, gradient_P = torch.ones(5), torch.ones(5)
    sgd = SGD(0.1, 0.9, 0.01)
    for _ in range(3):
        sgd.step(theta_P, gradient_P)
    assert torch.equal(theta_P, torch.ones(5))
    assert torch.equal(gradient_P, torch.ones(5))


def test_an_optimiser_resumed_at_its_velocity_goes_on_with_the_same_bits() -> None:
    draw = Stream.root(0, "sgd").generator()
    theta_P, gradients = torch.zeros(50), torch.randn(6, 50, generator=draw)
    whole, first = SGD(0.1, 0.9), SGD(0.1, 0.9)
    through = again = theta_P
    for gradient_P in gradients:
        through = whole.step(through, gradient_P)
    for gradient_P in gradients[:3]:
        again = first.step(again, gradient_P)
    second = SGD(0.1, 0.9, velocity_P=first.velocity_P)
    for gradient_P in gradients[3:]:
        again = second.step(again, gradient_P)
    assert torch.equal(through, again)
