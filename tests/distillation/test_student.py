"""Laws of the student: its batches, its loss, and its steps."""

import pytest
import torch
from tiny import apply, contrast_and_shift, digits, parameters, problem
from torch.nn import functional

from dcpipe.distillation.hypergradient.autograd_derivatives import AutogradDerivatives
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem
from dcpipe.distillation.hypergradient.inner_step import InnerStep
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.student import cross_entropy, draw_batches, train_student_without_graph
from dcpipe.errors import UserError
from dcpipe.random import Stream


def generator(*names):
    return Stream.root(0, *names).generator()


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (10, 5), (7, 6), (9, 1)])
def test_every_pass_uses_every_row_once(count, batch):
    a_pass = -(-count // batch)
    batches = draw_batches(count, batch, 3 * a_pass, generator("batches"))
    for first in range(0, 3 * a_pass, a_pass):
        rows = torch.cat(batches[first : first + a_pass])
        assert torch.equal(rows.sort().values, torch.arange(count))


def test_the_short_batch_opens_each_pass():
    sizes = [len(rows) for rows in draw_batches(10, 4, 7, generator("batches"))]
    assert sizes == [2, 4, 4, 2, 4, 4, 2]


def test_a_pass_is_the_generators_permutation_read_from_its_end():
    permutation = torch.randperm(10, generator=generator("batches"))
    first, second, third = draw_batches(10, 4, 3, generator("batches"))
    assert torch.equal(torch.cat([third, second, first]), permutation)


def test_batches_depend_on_the_generator_alone():
    torch.manual_seed(1)
    one = torch.cat(draw_batches(50, 7, 20, generator("batches")))
    torch.manual_seed(2)
    assert torch.equal(one, torch.cat(draw_batches(50, 7, 20, generator("batches"))))
    assert not torch.equal(one, torch.cat(draw_batches(50, 7, 20, generator("other"))))


@pytest.mark.parametrize("batch", [None, 10, 1000])
def test_a_full_batch_is_the_set_in_order_and_draws_nothing(batch):
    source = generator("batches")
    before = source.get_state()
    batches = draw_batches(10, batch, 3, source)
    assert len(batches) == 3
    assert all(torch.equal(rows, torch.arange(10)) for rows in batches)
    assert torch.equal(source.get_state(), before)


def test_confident_soft_labels_are_hard_labels():
    x, y = digits(20)
    logits = apply(parameters("theta"), x)
    confident = 1000 * functional.one_hot(y, 10).double()
    torch.testing.assert_close(cross_entropy(logits, confident), cross_entropy(logits, y), rtol=1e-12, atol=0)


def test_the_soft_loss_pulls_logits_by_the_difference_of_distributions():
    x, _ = digits(20)
    logits = apply(parameters("theta"), x).requires_grad_()
    wanted = apply(parameters("teacher"), x)
    (gradient,) = torch.autograd.grad(cross_entropy(logits, wanted), logits)
    torch.testing.assert_close(gradient, (logits.softmax(1) - wanted.softmax(1)) / 20, rtol=1e-12, atol=1e-15)


def test_a_run_is_plain_stochastic_gradient_descent():
    task = problem(batch=4, augmented=True)
    thetas, _ = train_student_without_graph(
        HypergradientProblem(make_inner_training(apply, augment=contrast_and_shift), **task.keywords)
    )
    leaf = task.start.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=task.step_size.item())
    for rows, draw in zip(task.draws.batches, task.draws.augmentations, strict=True):
        optimiser.zero_grad()
        x = contrast_and_shift(task.images[rows], draw)
        functional.cross_entropy(apply(leaf, x), task.labels[rows]).backward()
        optimiser.step()
    torch.testing.assert_close(thetas[-1], leaf.detach(), rtol=1e-12, atol=1e-14)
    assert (thetas[-1] - task.start).norm() > 0.1


def test_the_end_is_the_start_less_the_step_size_times_the_gradient_sum():
    task = problem(batch=3)
    thetas, gradient_sum = train_student_without_graph(
        HypergradientProblem(make_inner_training(apply), **task.keywords)
    )
    assert len(thetas) == task.draws.steps + 1
    torch.testing.assert_close(thetas[-1], task.start - task.step_size * gradient_sum, rtol=1e-12, atol=1e-14)


def test_the_hessian_is_symmetric():
    task, u, v = problem(augmented=True), parameters("u"), parameters("v")
    asked = HypergradientProblem(make_inner_training(apply, augment=contrast_and_shift), **task.keywords)

    def hessian_times(vector):
        return InnerStep.of(asked, 0, task.start, keep=False).pullback(vector, through_parameters=True).theta

    torch.testing.assert_close(u @ hessian_times(v), v @ hessian_times(u), rtol=1e-12, atol=0)


def pulled_back(task, v_P, *, through_parameters=True):
    part = AutogradDerivatives(apply).gradient_with_pullback(task.start, task.images, task.labels)
    return part.pullback(v_P, through_parameters=through_parameters)


def test_a_pullback_is_linear_in_its_vector_and_starts_from_the_gradient():
    task, v = problem(), parameters("v")
    one, three = pulled_back(task, v), pulled_back(task, 3 * v)
    gradient = AutogradDerivatives(apply).gradient(task.start, task.images, task.labels)
    torch.testing.assert_close(one.slope, gradient @ v, rtol=1e-12, atol=0)
    torch.testing.assert_close(three.theta, 3 * one.theta, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(three.images, 3 * one.images, rtol=1e-12, atol=1e-14)


def test_a_pullback_of_the_data_is_the_pullback_without_the_parameters():
    task, v = problem(soft=True), parameters("v")
    whole, data = pulled_back(task, v), pulled_back(task, v, through_parameters=False)
    assert data.theta is None
    for name in ("slope", "images", "labels"):
        torch.testing.assert_close(getattr(data, name), getattr(whole, name), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("micro_batch", [1, 3, 5, 100])
def test_micro_batches_do_not_change_the_steps(micro_batch):
    task = problem(batch=5, augmented=True)
    whole, _ = train_student_without_graph(
        HypergradientProblem(make_inner_training(apply, augment=contrast_and_shift), **task.keywords)
    )
    cut, _ = train_student_without_graph(
        HypergradientProblem(
            make_inner_training(apply, augment=contrast_and_shift, micro_batch=micro_batch), **task.keywords
        )
    )
    torch.testing.assert_close(cut[-1], whole[-1], rtol=1e-12, atol=1e-14)


def test_a_micro_batch_of_no_image_is_an_error():
    with pytest.raises(UserError, match="at least 1 image"):
        make_inner_training(apply, micro_batch=0)
