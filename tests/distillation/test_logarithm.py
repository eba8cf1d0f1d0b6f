"""Laws of the step size's logarithm: positive whatever happens, and the plain rule's update in the limit."""

import pytest
import torch

from dcpipe.distillation.optimisers.optimiser_config import Adam, Sgd
from dcpipe.distillation.step_size.step_size_config import LogarithmStepSize

ETA, GRADIENT = torch.tensor(0.02, dtype=torch.float64), torch.tensor(-37.0, dtype=torch.float64)


def rule(rate: float, momentum: float = 0.0) -> LogarithmStepSize:
    """The logarithm with SGD."""
    sgd = Sgd(kind="sgd", learning_rate=rate, momentum=momentum)
    return LogarithmStepSize(kind="logarithm", initial=0.02, optimiser=sgd)


def test_its_update_becomes_the_plain_one_as_the_rate_falls() -> None:
    gaps = []
    for rate in (1e-2, 1e-3, 1e-4):
        logarithm = rule(rate).learning_optimiser
        plain = Sgd(kind="sgd", learning_rate=rate * float(ETA) ** 2, momentum=0.0)
        changes = [one.build().step(ETA, GRADIENT) - ETA for one in (logarithm, plain)]
        gaps.append(abs(float(changes[0] / changes[1]) - 1))
    assert gaps[0] < 0.01
    assert gaps[1] == pytest.approx(0.1 * gaps[0], rel=0.01)
    assert gaps[2] == pytest.approx(0.1 * gaps[1], rel=0.01)


def test_it_stays_positive_where_the_plain_rule_does_not() -> None:
    downhill = torch.tensor(1e3, dtype=torch.float64)
    sgd = Sgd(kind="sgd", learning_rate=1.0, momentum=0.0)
    assert float(sgd.build().step(ETA, downhill)) < 0
    optimiser, eta = rule(1.0, momentum=0.9).learning_optimiser.build(), ETA
    for _ in range(20):
        eta = optimiser.step(eta, downhill)
        assert 0 < float(eta) < float(ETA)


def test_a_step_is_the_inner_optimisers_of_the_logarithm() -> None:
    for inner in (
        Sgd(kind="sgd", learning_rate=0.3, momentum=0.9),
        Adam(kind="adam", learning_rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8),
    ):
        ours = LogarithmStepSize(kind="logarithm", initial=0.02, optimiser=inner).learning_optimiser.build()
        theirs, eta, log_eta = inner.build(), ETA, ETA.log()
        for gradient in (GRADIENT, -GRADIENT, 2 * GRADIENT):
            log_eta = theirs.step(log_eta, log_eta.exp() * gradient)
            eta = ours.step(eta, gradient)
            torch.testing.assert_close(eta, log_eta.exp(), rtol=1e-12, atol=0)


def test_a_saved_state_goes_on_with_the_same_bits() -> None:
    first, second = (rule(0.1, momentum=0.9).learning_optimiser.build() for _ in range(2))
    eta = first.step(ETA, GRADIENT)
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    assert torch.equal(first.copy().step(eta, GRADIENT), second.step(eta, GRADIENT))
