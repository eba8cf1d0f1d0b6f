"""Laws of the hypergradients, in float64 on real digits: the kinds agree, and with central differences."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from tiny import apply, contrast_and_shift, digits, parameters, problem, solve
from torch.nn import functional

from dcpipe.distillation.distances.trajectory_distance import displacement_distance
from dcpipe.distillation.hypergradient import exact, per_step, unrolled
from dcpipe.distillation.hypergradient.hypergradient_problem import InnerDraws
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.student import cross_entropy
from dcpipe.errors import UserError

INNER = make_inner_training(apply, augment=contrast_and_shift)
KINDS = pytest.mark.parametrize("kind", [exact, unrolled], ids=["exact", "unrolled"])


def close(one, other, tolerance=1e-9):
    """Equal to a tolerance that is relative to the largest entry."""
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * other.abs().max().item())


def loss_at(kind, task, **changes):
    return solve(kind.compute_hypergradient, INNER, **replace(task, **changes).keywords)[1].loss


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("augmented", [False, True], ids=["plain", "augmented"])
@pytest.mark.parametrize(("batch", "micro_batch"), [(None, None), (None, 4), (4, None), (4, 3)])
def test_exact_equals_unrolled(batch, micro_batch, augmented, soft):
    task = problem(batch=batch, augmented=augmented, soft=soft)
    inner = make_inner_training(apply, augment=contrast_and_shift, micro_batch=micro_batch)
    ours, our_trace = solve(exact.compute_hypergradient, inner, **task.keywords, labels_require_grad=soft)
    theirs, their_trace = solve(unrolled.compute_hypergradient, INNER, **task.keywords, labels_require_grad=soft)
    close(ours.images, theirs.images)
    close(ours.step_size, theirs.step_size)
    if soft:
        close(ours.labels, theirs.labels)
    else:
        assert ours.labels is None
        assert theirs.labels is None
    for name in ("loss", "final", "gradient_sum", "final_gradient"):
        close(getattr(our_trace, name), getattr(their_trace, name), 1e-12)


@KINDS
def test_the_derivatives_are_those_of_central_differences(kind):
    task = problem(batch=4, augmented=True, soft=True)
    gradients, _ = solve(kind.compute_hypergradient, INNER, **task.keywords, labels_require_grad=True)
    towards = {"images": digits(20)[0][10:], "step_size": torch.ones(()), "labels": task.labels.sin()}
    for name, direction in towards.items():
        here, h = getattr(task, name), 1e-4
        ahead = loss_at(kind, task, **{name: here + h * direction})
        behind = loss_at(kind, task, **{name: here - h * direction})
        slope = (getattr(gradients, name) * direction).sum()
        torch.testing.assert_close((ahead - behind) / (2 * h), slope, rtol=1e-6, atol=0)


@KINDS
def test_a_single_pixel_has_the_derivative_of_central_differences(kind):
    task, h = problem(steps=3), 1e-4
    gradients, _ = solve(kind.compute_hypergradient, INNER, **task.keywords)
    for row, y, x in [(0, 2, 3), (4, 5, 5), (9, 0, 7)]:
        step = torch.zeros_like(task.images)
        step[row, 0, y, x] = h
        ahead = loss_at(kind, task, images=task.images + step)
        behind = loss_at(kind, task, images=task.images - step)
        torch.testing.assert_close((ahead - behind) / (2 * h), gradients.images[row, 0, y, x], rtol=1e-5, atol=1e-12)


@KINDS
def test_at_step_size_zero_the_loss_is_one_with_a_slope_of_closed_form(kind):
    task = replace(problem(batch=4), step_size=torch.zeros((), dtype=torch.float64))
    gradients, trace = solve(kind.compute_hypergradient, INNER, **task.keywords)
    assert trace.loss.item() == 1
    assert torch.equal(trace.final, task.start)
    assert gradients.images.count_nonzero() == 0
    delta = task.start - task.target
    close(gradients.step_size, -2 * (delta @ trace.gradient_sum) / (delta @ delta), 1e-12)


@KINDS
def test_a_target_made_by_the_same_student_is_reached_and_pulls_nowhere(kind):
    task = problem(batch=4, augmented=True)
    made = solve(kind.compute_hypergradient, INNER, **task.keywords)[1].final
    gradients, trace = solve(kind.compute_hypergradient, INNER, **replace(task, target=made).keywords)
    assert trace.loss.item() == 0
    assert gradients.images.count_nonzero() == 0
    assert gradients.step_size.item() == 0


@KINDS
def test_the_order_of_the_synthetic_set_does_not_matter_to_full_batches(kind):
    task, order = problem(), torch.randperm(10, generator=torch.Generator().manual_seed(3))
    gradients, trace = solve(kind.compute_hypergradient, INNER, **task.keywords)
    shuffled = replace(task, images=task.images[order], labels=task.labels[order])
    their_gradients, their_trace = solve(kind.compute_hypergradient, INNER, **shuffled.keywords)
    close(their_trace.loss, trace.loss, 1e-12)
    close(their_gradients.images, gradients.images[order], 1e-11)
    close(their_gradients.step_size, gradients.step_size, 1e-11)


@KINDS
def test_rows_outside_every_batch_have_gradient_exactly_zero(kind):
    task = problem(batch=3, steps=2, soft=True)
    gradients, _ = solve(kind.compute_hypergradient, INNER, **task.keywords, labels_require_grad=True)
    used = torch.cat(task.draws.batches).unique()
    unused = torch.tensor([row for row in range(10) if row not in used])
    assert len(unused) > 0
    for gradient in (gradients.images, gradients.labels):
        assert gradient[unused].count_nonzero() == 0
        assert (gradient[used].flatten(1).abs().amax(1) > 0).all()


def test_for_one_step_the_first_order_slope_of_the_step_size_is_exact():
    gradients, trace = solve(exact.compute_hypergradient, INNER, **problem(steps=1).keywords)
    close(gradients.step_size, -(trace.final_gradient @ trace.gradient_sum), 1e-12)
    gradients, trace = solve(exact.compute_hypergradient, INNER, **problem(steps=6).keywords)
    first_order = -(trace.final_gradient @ trace.gradient_sum)
    assert (gradients.step_size - first_order).abs() > 0.01 * first_order.abs()


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_per_step_is_exact_for_one_step(micro_batch, soft):
    """The factor 2 of the squared distance included."""
    task = problem(steps=1, augmented=True, soft=soft)
    inner = make_inner_training(apply, augment=contrast_and_shift, micro_batch=micro_batch)
    ours, our_trace = solve(per_step.compute_hypergradient, inner, **task.keywords, labels_require_grad=soft)
    theirs, their_trace = solve(unrolled.compute_hypergradient, INNER, **task.keywords, labels_require_grad=soft)
    close(ours.images, theirs.images, 1e-12)
    close(ours.step_size, theirs.step_size, 1e-12)
    close(our_trace.loss, their_trace.loss, 1e-12)
    if soft:
        close(ours.labels, theirs.labels, 1e-12)


def relative_errors(task):
    ours, _ = solve(per_step.compute_hypergradient, INNER, **task.keywords, labels_require_grad=True)
    right, _ = solve(exact.compute_hypergradient, INNER, **task.keywords, labels_require_grad=True)
    pairs = [(getattr(ours, name), getattr(right, name)) for name in ("images", "labels", "step_size")]
    return torch.stack([(one - other).norm() / other.norm() for one, other in pairs])


def test_the_error_of_per_step_shrinks_tenfold_when_the_step_size_does():
    task = problem(batch=4, augmented=True, soft=True)
    at = [relative_errors(replace(task, step_size=torch.tensor(eta).double())) for eta in (1e-4, 1e-5, 1e-6)]
    assert bool((at[0] > 1e-5).all())
    for large, small in pairwise(at):
        torch.testing.assert_close(large / small, torch.full_like(large, 10.0), rtol=0.1, atol=0)


def test_per_step_is_the_derivative_with_every_point_of_the_student_held():
    """<u, sum_i g_i(S; theta_i)> with u and the theta_i constant, differentiated by one graph."""
    task = problem(batch=4, augmented=True)
    ours, trace = solve(per_step.compute_hypergradient, INNER, **task.keywords)
    images = task.images.clone().requires_grad_()
    total = 0
    for theta_P, rows, draw in zip(trace.thetas, task.draws.batches, task.draws.augmentations, strict=False):
        leaf_P = theta_P.clone().requires_grad_()
        loss = cross_entropy(apply(leaf_P, contrast_and_shift(images[rows], draw)), task.labels[rows])
        total = total + torch.autograd.grad(loss, leaf_P, create_graph=True)[0]
    u_P = -2 * task.step_size * (trace.final - task.target) / (task.start - task.target).square().sum()
    (wanted,) = torch.autograd.grad(total @ u_P, images)
    close(ours.images, wanted, 1e-11)
    close(ours.step_size, -(trace.final_gradient @ trace.gradient_sum), 1e-12)


@KINDS
def test_no_step_leaves_the_student_at_its_start(kind):
    task = replace(problem(), draws=InnerDraws((), ()))
    gradients, trace = solve(kind.compute_hypergradient, INNER, **task.keywords)
    assert trace.loss.item() == 1
    assert len(trace.thetas) == 1
    assert gradients.images.count_nonzero() == 0
    assert gradients.step_size.item() == 0


@KINDS
def test_going_on_from_a_kept_point_ends_at_the_same_bits(kind):
    task = problem(batch=4, augmented=True)
    _, whole = solve(kind.compute_hypergradient, INNER, **task.keywords)
    rest = InnerDraws(task.draws.batches[2:], task.draws.augmentations[2:])
    _, tail = solve(kind.compute_hypergradient, INNER, **(task.keywords | {"start_P": whole.thetas[2], "draws": rest}))
    assert torch.equal(tail.final, whole.final)
    assert torch.equal(tail.loss, whole.loss)


@KINDS
def test_the_same_draws_give_the_same_bits_and_hold_no_graph(kind):
    task = problem(batch=4, augmented=True)
    one, one_trace = solve(kind.compute_hypergradient, INNER, **task.keywords)
    with torch.no_grad():
        two, two_trace = solve(kind.compute_hypergradient, INNER, **task.keywords)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.step_size, two.step_size)
    assert torch.equal(one_trace.loss, two_trace.loss)
    left = (one.images, one.step_size, one_trace.loss, one_trace.gradient_sum, *one_trace.thetas)
    assert not any(tensor.requires_grad for tensor in left)


def test_the_objective_is_any_function_of_the_last_parameters():
    task = problem()
    noisy = task.start + parameters("noise", scale=0.01)
    objective = partial(displacement_distance, student_start_P=noisy, start_P=task.start, target_P=task.target)
    keywords = task.keywords | {"start_P": noisy, "objective": objective}
    ours, _ = solve(exact.compute_hypergradient, INNER, **keywords)
    theirs, _ = solve(unrolled.compute_hypergradient, INNER, **keywords)
    close(ours.images, theirs.images)
    assert not torch.allclose(
        ours.images, solve(exact.compute_hypergradient, INNER, **task.keywords)[0].images, rtol=1e-3
    )


def peak_of_kept_bytes(kind, inner, task):
    """The most bytes that graphs held for their backward passes at one time."""
    held = {"now": 0, "peak": 0}

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor
            held["now"] += tensor.nbytes
            held["peak"] = max(held.values())

        def __del__(self):
            held["now"] -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        solve(kind.compute_hypergradient, inner, **task.keywords)
    return held["peak"]


def test_exact_and_per_step_hold_one_steps_graph_however_many_there_are():
    short, long = problem(steps=2), problem(steps=12)
    for kind in (exact, per_step):
        assert peak_of_kept_bytes(kind, INNER, long) == peak_of_kept_bytes(kind, INNER, short)
    assert peak_of_kept_bytes(unrolled, INNER, long) > 5 * peak_of_kept_bytes(unrolled, INNER, short)


def test_micro_batches_hold_the_graph_of_their_own_images_alone():
    cut = make_inner_training(apply, micro_batch=10)
    large, small = problem(count=100, steps=2), problem(count=10, steps=2)
    assert peak_of_kept_bytes(exact, cut, large) == peak_of_kept_bytes(exact, INNER, small)
    assert peak_of_kept_bytes(exact, INNER, large) > 3 * peak_of_kept_bytes(exact, cut, large)


@pytest.mark.parametrize("kind", [exact, unrolled, per_step], ids=["exact", "unrolled", "per_step"])
def test_logits_that_leave_one_class_alone_are_hard_labels(kind):
    """At 800 the softmax of float64 is one-hot to the bit: nothing is left to learn, and the images do not notice."""
    task = problem(batch=4, augmented=True)
    logits = 800 * functional.one_hot(task.labels, 10).double()
    soft, _ = solve(
        kind.compute_hypergradient, INNER, **replace(task, labels=logits).keywords, labels_require_grad=True
    )
    hard, _ = solve(kind.compute_hypergradient, INNER, **task.keywords)
    close(soft.images, hard.images, 1e-12)
    close(soft.step_size, hard.step_size, 1e-12)
    assert soft.labels.count_nonzero() == 0


@KINDS
def test_hard_labels_cannot_be_learned(kind):
    with pytest.raises(UserError, match="hard labels"):
        solve(kind.compute_hypergradient, INNER, **problem().keywords, labels_require_grad=True)


def test_the_unrolled_kind_refuses_a_micro_batch():
    with pytest.raises(UserError, match="micro-batch"):
        solve(unrolled.compute_hypergradient, make_inner_training(apply, micro_batch=2), **problem().keywords)


def test_draws_hold_one_augmentation_a_batch():
    with pytest.raises(ValueError, match="2 batches but 1"):
        InnerDraws((torch.arange(3), torch.arange(3)), (None,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("soft", "micro_batch"), [(False, None), pytest.param(True, 2, marks=pytest.mark.long)], ids=["hard", "soft"]
)
@pytest.mark.parametrize("kind", [exact, per_step], ids=["exact", "per_step"])
def test_compiled_steps_agree_with_eager_ones(kind, soft, micro_batch):
    task = problem(batch=4, augmented=True, soft=soft, dtype=torch.float32)
    compiled = make_inner_training(apply, augment=contrast_and_shift, micro_batch=micro_batch, backend="compiled")
    ours, our_trace = solve(kind.compute_hypergradient, compiled, **task.keywords, labels_require_grad=soft)
    theirs, their_trace = solve(kind.compute_hypergradient, INNER, **task.keywords, labels_require_grad=soft)
    close(our_trace.final, their_trace.final, 1e-5)
    close(ours.images, theirs.images, 1e-4)
    close(ours.step_size, theirs.step_size, 1e-4)
    if soft:
        close(ours.labels, theirs.labels, 1e-4)
