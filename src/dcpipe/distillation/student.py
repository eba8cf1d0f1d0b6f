"""The student: a network trained for a few plain gradient steps on the synthetic set.

Here are its batches, its loss, one step of it (the gradient, and the gradient's vector-Jacobian product
that a walk backwards through the steps needs) and the run of all steps without a graph.

Legend: N images in the synthetic set, B images in a batch, C channels, H W pixels, K classes,
P parameters of the student, T inner steps. Labels are hard (int64, (N,)) or logits (floating, (N, K)).
"""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.hypergradient.problem import (
    Apply,
    Augment,
    AugmentDraw,
    Inner,
    Problem,
    Pulled,
    StepGradient,
    StepPullback,
)
from dcpipe.errors import UserError

Backend = Literal["eager", "compiled"]


def draw_batches(num_images: int, batch: int | None, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Rows of the synthetic set for every inner step: `steps` int64 index tensors on the CPU.

    The set is shuffled and cut into batches, which are used last first: when `batch` does not divide
    `num_images` the short one opens each pass. A new shuffle follows only when all are used. None, or a
    batch no smaller than the set, is the whole set in its own order, and draws nothing.
    Source: MTT, arXiv:2203.11932, its public code.
    """
    if batch is None or batch >= num_images:
        return (torch.arange(num_images),) * steps
    chosen: list[Tensor] = []
    waiting: list[Tensor] = []
    for _ in range(steps):
        if not waiting:
            waiting = list(torch.split(torch.randperm(num_images, generator=generator), batch))
        chosen.append(waiting.pop())
    return tuple(chosen)


def cross_entropy(logits_BK: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy averaged over the batch (0-d, in nats).

    Labels: int64 classes (B,), or logits (B, K) whose softmax is the wanted distribution; then it is
    differentiable in the labels too. Source of the soft form: DATM, arXiv:2310.05773.
    """
    if not labels.is_floating_point():
        return functional.cross_entropy(logits_BK, labels)
    return -(labels.softmax(1) * logits_BK.log_softmax(1)).sum(1).mean()


def inner_gradient(apply: Apply, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
    """The gradient (P) of a batch's mean cross-entropy with respect to the parameters, detached."""
    with torch.enable_grad():
        leaf_P = theta_P.detach().requires_grad_()
        loss = cross_entropy(apply(leaf_P, x_BCHW), labels)
        (gradient_P,) = torch.autograd.grad(loss, leaf_P)
    return gradient_P


def inner_pullback(
    apply: Apply, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor, *, through_parameters: bool
) -> Pulled:
    """The inner gradient's product with `v_P`, and the derivatives of that number."""
    with torch.enable_grad():
        leaf_P, x_BCHW = theta_P.detach().requires_grad_(), x_BCHW.detach().requires_grad_()
        inputs = {"images": x_BCHW}
        if through_parameters:
            inputs["theta"] = leaf_P
        if labels.is_floating_point():
            labels = inputs["labels"] = labels.detach().requires_grad_()
        loss = cross_entropy(apply(leaf_P, x_BCHW), labels)
        (gradient_P,) = torch.autograd.grad(loss, leaf_P, create_graph=True)
        found = torch.autograd.grad(gradient_P, list(inputs.values()), v_P, materialize_grads=True)
    pulled = dict(zip(inputs, found, strict=True))
    return Pulled(gradient_P.detach() @ v_P, pulled.get("theta"), pulled["images"], pulled.get("labels"))


def make_inner(
    apply: Apply,
    *,
    augment: Augment | None = None,
    micro_batch: int | None = None,
    backend: Backend = "eager",
) -> Inner:
    """How a student of this network steps; make it once, since a compiled one is traced per shape of batch.

    A network whose images influence each other (batch normalisation) must not be cut into micro-batches.
    Errors: UserError for a micro-batch below 1.
    """
    if micro_batch is not None and micro_batch < 1:
        raise UserError(f"a micro-batch holds at least 1 image, not {micro_batch}", where="micro_batch")
    steps = _eager_step(apply) if backend == "eager" else _compiled_step(apply)
    return Inner(apply, *steps, augment, micro_batch)


def run(problem: Problem, *, kept_from: int = 0) -> tuple[tuple[Tensor, ...], Tensor]:
    """All steps, keeping no graph: the parameter vectors after steps `kept_from` to T (0 is the start), and the
    sum (P) of the T gradients.
    """
    inner, draws = problem.inner, problem.draws
    images_NCHW, labels = problem.images_NCHW.detach(), problem.labels.detach()
    theta_P, step_size = problem.start_P.detach(), problem.step_size.detach()
    thetas, sum_P = [theta_P], torch.zeros_like(theta_P)
    for step, (batch, draw) in enumerate(zip(draws.batches, draws.augmentations, strict=True)):
        rows = batch.to(images_NCHW.device)
        gradient_P = _step_gradient(inner, theta_P, images_NCHW[rows], labels[rows], draw)
        sum_P += gradient_P
        theta_P = theta_P - step_size * gradient_P
        if step < kept_from:
            thetas.clear()
        thetas.append(theta_P)
    return tuple(thetas), sum_P


def step_pullback(
    inner: Inner, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, *, draw: AugmentDraw | None, v_P: Tensor
) -> Pulled:
    """`Pulled` for one step as `run` took it: its draw repeated, its micro-batches summed.

    The derivative of the images is with respect to `x_BCHW`, the rows before their augmentation; that of the
    parameters is None where the inner pullback leaves it out.
    """
    with torch.enable_grad():
        raw_BCHW = x_BCHW.detach().requires_grad_()
        seen_BCHW = augmented(inner, raw_BCHW, draw)
    slope = theta_P.new_zeros(())
    curved_P: Tensor | None = torch.zeros_like(theta_P)
    images: list[Tensor] = []
    logits: list[Tensor] = []
    for share, x, y in _micro_batches(inner, seen_BCHW.detach(), labels):
        part = inner.pullback(theta_P, x, y, v_P)
        slope.add_(part.slope, alpha=share)
        curved_P = None if curved_P is None or part.theta is None else curved_P.add_(part.theta, alpha=share)
        images.append(share * part.images)
        if part.labels is not None:
            logits.append(share * part.labels)
    images_BCHW = torch.cat(images)
    if seen_BCHW is not raw_BCHW:
        (images_BCHW,) = torch.autograd.grad(seen_BCHW, raw_BCHW, images_BCHW)
    return Pulled(slope, curved_P, images_BCHW, torch.cat(logits) if logits else None)


def augmented(inner: Inner, x_BCHW: Tensor, draw: AugmentDraw | None) -> Tensor:
    """The images as the network sees them; the very same tensor where nothing was drawn."""
    return x_BCHW if inner.augment is None or draw is None else inner.augment(x_BCHW, draw)


def _step_gradient(inner: Inner, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, draw: AugmentDraw | None) -> Tensor:
    with torch.no_grad():
        seen_BCHW = augmented(inner, x_BCHW, draw)
    total_P = torch.zeros_like(theta_P)
    for share, x, y in _micro_batches(inner, seen_BCHW, labels):
        total_P.add_(inner.gradient(theta_P, x, y), alpha=share)
    return total_P


def _micro_batches(inner: Inner, x_BCHW: Tensor, labels: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
    # cut after the augmentation: its draw belongs to the whole batch, and pixels are small beside activations
    size = len(x_BCHW)
    length = inner.micro_batch or size
    for x, y in zip(torch.split(x_BCHW, length), torch.split(labels, length), strict=True):
        yield len(x) / size, x, y


def _eager_step(apply: Apply) -> tuple[StepGradient, StepPullback, StepPullback]:
    # autograd rather than torch.func: on one core, batch 10, a gradient and a pullback together take 0.75 of
    # torch.func's time for a ConvNet of depth 2 and width 64 on 8x8, 0.94 for depth 3 and width 128 on 32x32
    # (differentiating a jvp, and the jvp of a gradient, were slower still)
    pullback = partial(inner_pullback, apply)
    return (
        partial(inner_gradient, apply),
        partial(pullback, through_parameters=True),
        partial(pullback, through_parameters=False),
    )


def _compiled_step(apply: Apply) -> tuple[StepGradient, StepPullback, StepPullback]:
    # torch.func here, because the compiler traces through it and not through torch.autograd.grad. One graph
    # with static shapes, or an error: code that quietly fell back to eager would give other bits
    torch.use_deterministic_algorithms(True)  # tells the compiler too

    def loss(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(apply(theta_P, x_BCHW), labels)

    gradient = torch.func.grad(loss)

    def pullback(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> Pulled:
        soft = (labels,) if labels.is_floating_point() else ()
        gradient_P, pull, *_ = torch.func.vjp(
            lambda theta, x, *z: gradient(theta, x, *(z or (labels,))), theta_P, x_BCHW, *soft
        )
        by_theta, by_images, *by_labels = pull(v_P)
        return Pulled(gradient_P @ v_P, by_theta, by_images, by_labels[0] if by_labels else None)

    def of_data(theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, v_P: Tensor) -> Pulled:
        soft = (labels,) if labels.is_floating_point() else ()
        gradient_P, pull, *_ = torch.func.vjp(lambda x, *z: gradient(theta_P, x, *(z or (labels,))), x_BCHW, *soft)
        by_images, *by_labels = pull(v_P)
        return Pulled(gradient_P @ v_P, None, by_images, by_labels[0] if by_labels else None)

    compiled = partial(torch.compile, fullgraph=True, dynamic=False)
    return compiled(gradient), compiled(pullback), compiled(of_data)
