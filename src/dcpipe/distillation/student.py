"""The student: a network trained for a few plain gradient steps on the synthetic set.

Here are its batches, its loss, and the run of all steps without what differentiating them needs.

Legend: N images in the synthetic set, B images in a batch, C channels, H W pixels, K classes,
P parameters of the student, T inner steps. Labels are hard (int64, (N,)) or logits (floating, (N, K)).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.hypergradient.hypergradient_problem import (
    Apply,
    AugmentDraw,
    HypergradientProblem,
    InnerTraining,
)


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


def train_student_without_graph(
    problem: HypergradientProblem, *, first_returned: int = 0
) -> tuple[tuple[Tensor, ...], Tensor]:
    """All steps, keeping no graph: the parameter vectors after steps `first_returned` to T (0 is the start), and the
    sum (P) of the T gradients.
    """
    inner, draws = problem.inner, problem.draws
    images_NCHW, labels = problem.images_NCHW.detach(), problem.labels.detach()
    theta_P, step_size = problem.start_P.detach(), problem.step_size.detach()
    thetas, sum_P = [theta_P], torch.zeros_like(theta_P)
    for step, (batch, draw) in enumerate(zip(draws.batches, draws.augmentations, strict=True)):
        rows = batch.to(images_NCHW.device)
        gradient_P = step_gradient(inner, theta_P, images_NCHW[rows], labels[rows], draw)
        sum_P += gradient_P
        theta_P = theta_P - step_size * gradient_P
        if step < first_returned:
            thetas.clear()
        thetas.append(theta_P)
    return tuple(thetas), sum_P


def augmented(inner: InnerTraining, x_BCHW: Tensor, draw: AugmentDraw | None) -> Tensor:
    """The images as the network sees them; the very same tensor where nothing was drawn."""
    return x_BCHW if inner.augment is None or draw is None else inner.augment(x_BCHW, draw)


def step_gradient(
    inner: InnerTraining, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, draw: AugmentDraw | None
) -> Tensor:
    """The gradient (P) of a step's mean cross-entropy, its micro-batches summed; nothing is left for a pullback."""
    with torch.no_grad():
        seen_BCHW = augmented(inner, x_BCHW, draw)
    total_P = torch.zeros_like(theta_P)
    for share, x, y in micro_batches(inner, seen_BCHW, labels):
        total_P.add_(inner.derivatives.gradient(theta_P, x, y), alpha=share)
    return total_P


def micro_batches(inner: InnerTraining, x_BCHW: Tensor, labels: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
    """The share of the batch, the images and the labels of each micro-batch."""
    # cut after the augmentation: its draw belongs to the whole batch, and pixels are small beside activations
    size = len(x_BCHW)
    length = inner.micro_batch or size
    for x, y in zip(torch.split(x_BCHW, length), torch.split(labels, length), strict=True):
        yield len(x) / size, x, y
