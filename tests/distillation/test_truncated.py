"""Laws of the truncated hypergradient and of going on from inside a run, in float64 on real digits."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tiny import apply, contrast_and_shift, digits, problem, solve
from torch.nn import functional

from dcpipe.distillation.hypergradient import exact, unrolled
from dcpipe.distillation.hypergradient.hypergradient_problem import InnerDraws
from dcpipe.distillation.hypergradient.truncated import truncated_hypergradient
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.errors import UserError

INNER = make_inner_training(apply, augment=contrast_and_shift)
CONVEX = make_inner_training(lambda theta_P, x_NCHW: x_NCHW.flatten(1) @ theta_P.view(64, 10))


@pytest.mark.parametrize("kept", [6, 7, 100])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_with_nothing_cut_it_is_the_exact_kind_bit_for_bit(kept, soft):
    task = problem(batch=4, augmented=True, soft=soft)
    ours, our_trace = solve(truncated_hypergradient(kept), INNER, **task.keywords, labels_require_grad=soft)
    theirs, their_trace = solve(exact.compute_hypergradient, INNER, **task.keywords, labels_require_grad=soft)
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.step_size, theirs.step_size)
    assert (ours.labels is None and theirs.labels is None) if not soft else torch.equal(ours.labels, theirs.labels)
    assert all(torch.equal(a, b) for a, b in zip(our_trace.thetas, their_trace.thetas, strict=True))


def test_with_everything_cut_nothing_is_learned_but_the_loss_is_there():
    task = problem(batch=4, augmented=True, soft=True)
    ours, trace = solve(truncated_hypergradient(0), INNER, **task.keywords, labels_require_grad=True)
    _, whole = solve(exact.compute_hypergradient, INNER, **task.keywords)
    for gradient in (ours.images, ours.step_size, ours.labels):
        assert gradient.count_nonzero() == 0
    assert torch.equal(trace.loss, whole.loss)
    assert torch.equal(trace.final_gradient, whole.final_gradient)
    torch.testing.assert_close(trace.gradient_sum, whole.gradient_sum, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kept", range(1, 6))
def test_it_is_the_reference_with_a_graph_that_begins_at_the_cut(kept):
    """Unrolled from the parameters at the cut, which are constants there, with the draws that are left."""
    task = problem(batch=4, augmented=True, soft=True)
    ours, trace = solve(truncated_hypergradient(kept), INNER, **task.keywords, labels_require_grad=True)
    _, whole = solve(exact.compute_hypergradient, INNER, **task.keywords)
    rest = task.keywords | {"start_P": whole.thetas[6 - kept], "draws": task.draws.after(6 - kept)}
    theirs, _ = solve(unrolled.compute_hypergradient, INNER, **rest, labels_require_grad=True)
    for name in ("images", "step_size", "labels"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-15)
    assert (trace.first, trace.steps, len(trace.thetas)) == (6 - kept, 6, kept + 1)
    assert torch.equal(trace.final, whole.final)


def test_on_a_convex_problem_each_kept_step_brings_it_nearer_to_exact():
    """Softmax regression on digits: convex in the parameters, so what a step forgets never comes back."""
    task = replace(problem(count=30), start=torch.zeros(640, dtype=torch.float64))
    images, labels = digits(60)
    towards = images[30:].flatten(1).T @ (
        functional.one_hot(labels[30:], 10).double() - 0.1
    )  # the step of 30 other digits
    task = replace(task, target=0.1 * towards.flatten())
    whole, _ = solve(exact.compute_hypergradient, CONVEX, **task.keywords)
    found = [solve(truncated_hypergradient(kept), CONVEX, **task.keywords)[0].images for kept in range(7)]
    errors = [float((images - whole.images).norm() / whole.images.norm()) for images in found]
    assert errors[0] == 1.0
    assert errors[6] == 0.0
    assert all(later < 0.95 * earlier for earlier, later in pairwise(errors)), errors


def test_only_the_parameters_from_the_cut_on_are_kept():
    task = problem(steps=12)
    _, trace = solve(truncated_hypergradient(4), INNER, **task.keywords)
    _, whole = solve(exact.compute_hypergradient, INNER, **task.keywords)
    assert all(torch.equal(trace.at(step).theta_P, whole.thetas[step]) for step in range(8, 13))
    for step in (7, 13):
        with pytest.raises(IndexError, match=f"kept from step 8 to 12, not {step}"):
            trace.at(step)


@pytest.mark.parametrize("kind", [exact.compute_hypergradient, truncated_hypergradient(3)], ids=["exact", "truncated"])
def test_a_run_that_goes_on_from_a_kept_point_ends_at_the_same_bits(kind):
    task = problem(batch=4, augmented=True)
    gradients, whole = solve(kind, INNER, **task.keywords)
    start = whole.at(3)
    rest = task.keywords | {"start_P": start.theta_P, "draws": task.draws.after(start.step)}
    theirs, tail = solve(kind, INNER, **rest)
    assert torch.equal(tail.final, whole.final)
    assert torch.equal(tail.loss, whole.loss)
    # a truncated pass that goes on from its own cut has the gradient of the whole one
    assert torch.equal(theirs.images, gradients.images) == (kind is not exact.compute_hypergradient)


def test_the_draws_before_and_after_a_step_are_all_of_them():
    draws = problem(batch=4, augmented=True).draws
    for step in range(7):
        head, tail = draws.before(step), draws.after(step)
        assert (head.steps, tail.steps) == (step, 6 - step)
        assert InnerDraws(head.batches + tail.batches, head.augmentations + tail.augmentations) == draws


def test_hard_labels_cannot_be_learned():
    with pytest.raises(UserError, match="hard labels"):
        solve(truncated_hypergradient(2), INNER, **problem().keywords, labels_require_grad=True)
