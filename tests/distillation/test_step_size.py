"""Laws of the first-order step-size rule, in float64 on real digits."""

from dataclasses import replace

import pytest
import torch
from tiny import apply, contrast_and_shift, problem, solve

from dcpipe.distillation.hypergradient import exact
from dcpipe.distillation.hypergradient.truncated import truncated_hypergradient
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.optimisers.optimiser_config import Sgd
from dcpipe.distillation.step_size.step_size_config import FirstOrderStepSize, LearnedStepSize
from dcpipe.distillation.step_size.step_size_rules import first_order_derivative as first_order

INNER = make_inner_training(apply, augment=contrast_and_shift)
SGD = Sgd(kind="sgd", learning_rate=1e-3, momentum=0.5)
RULE = FirstOrderStepSize(kind="first-order", initial=0.4, optimiser=SGD, unit="plain", largest_change=None)


def test_with_one_inner_step_it_is_the_exact_derivative():
    task = problem(steps=1, augmented=True)
    gradients, trace = solve(exact.compute_hypergradient, INNER, **task.keywords)
    torch.testing.assert_close(first_order(RULE, trace, task.step_size), gradients.step_size, rtol=1e-12, atol=0)


def test_its_error_vanishes_with_the_step_size():
    """What it leaves out is how later gradients depend on the step size, which is of first order in it."""
    errors = []
    for factor in (1.0, 1e-2, 1e-3):
        task = problem(steps=6)
        task = replace(task, step_size=factor * task.step_size)
        gradients, trace = solve(exact.compute_hypergradient, INNER, **task.keywords)
        found = first_order(RULE, trace, task.step_size)
        size = trace.final_gradient.norm() * trace.gradient_sum.norm()
        errors.append(float((found - gradients.step_size).abs() / size))
    assert errors[0] > 0.01
    assert errors[1] < 0.2 * errors[0]
    assert errors[2] == pytest.approx(0.1 * errors[1], rel=0.2)


def test_a_cut_does_not_change_it():
    task = problem(batch=4, augmented=True)
    whole, cut = (
        solve(kind, INNER, **task.keywords)[1] for kind in (exact.compute_hypergradient, truncated_hypergradient(2))
    )
    ours, theirs = (first_order(RULE, trace, task.step_size) for trace in (cut, whole))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_a_relative_change_does_not_depend_on_the_networks_unit():
    """Weights a times as large with steps a times as large end a times as far: eta counts in the weights' unit."""
    task = problem(steps=6)
    _, trace = solve(exact.compute_hypergradient, INNER, **task.keywords)
    squared = replace(RULE, unit="squared-step-size")
    relative = first_order(squared, trace, task.step_size) / task.step_size
    # the same step in other units: eta' = a eta and g' = g / a leave eta G and the loss as they are
    other = replace(trace.trace, gradient_sum=trace.gradient_sum / 7)
    torch.testing.assert_close(
        first_order(squared, other, 7 * task.step_size) / (7 * task.step_size), relative, rtol=1e-12, atol=0
    )
    plain = first_order(RULE, trace, task.step_size)
    torch.testing.assert_close(relative, plain * task.step_size, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bound", [1e-4, 0.1, 1e6])
def test_the_largest_change_bounds_the_update_and_nothing_else(bound):
    task = problem(steps=6)
    _, trace = solve(exact.compute_hypergradient, INNER, **task.keywords)
    free = first_order(RULE, trace, task.step_size)
    found = first_order(replace(RULE, largest_change=bound), trace, task.step_size)
    limit = bound * task.step_size / SGD.learning_rate
    torch.testing.assert_close(found, free.sign() * torch.minimum(free.abs(), limit), rtol=1e-12, atol=0)


def test_the_other_rules_take_the_matchings_own_derivative():
    task = problem(steps=6)
    gradients, trace = solve(exact.compute_hypergradient, INNER, **task.keywords)
    learned = LearnedStepSize(kind="learned", initial=0.4, optimiser=SGD)
    assert learned.build()(gradients, trace, task.step_size) is gradients
    ours = RULE.build()(gradients, trace, task.step_size)
    assert torch.equal(ours.images, gradients.images)
    assert torch.equal(ours.step_size, first_order(RULE, trace, task.step_size))
    assert not torch.equal(ours.step_size, gradients.step_size)
