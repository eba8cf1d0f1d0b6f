"""The hypergradient by one graph through all inner steps: the reference the other kinds are held to.

Its memory grows with the number of steps times the images of a batch.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.common import Gradients, Inner, InnerDraws, Objective, Trace
from dcpipe.distillation.student import augmented, check_learnable, cross_entropy
from dcpipe.errors import UserError


def evaluate(
    inner: Inner,
    *,
    images_NCHW: Tensor,
    labels: Tensor,
    step_size: Tensor,
    start_P: Tensor,
    objective: Objective,
    draws: InnerDraws,
    labels_require_grad: bool = False,
) -> tuple[Gradients, Trace]:
    """The derivatives of the objective through all T steps; see `Hypergradient` for the shapes.

    Only `apply` and `augment` of `inner` are used, always eagerly.
    Errors: UserError when the derivative of hard labels, or a micro-batch, is asked for.
    Source: MTT, arXiv:2203.11932, its public code.
    """
    check_learnable(labels, labels_require_grad=labels_require_grad)
    if inner.micro_batch is not None:
        raise UserError(
            "a micro-batch saves nothing when the graph of every step is kept",
            where="hypergradient: unrolled",
            remedy="choose the exact kind, or leave the micro-batch out",
        )
    with torch.enable_grad():
        images_NCHW, eta = images_NCHW.detach().requires_grad_(), step_size.detach().requires_grad_()
        labels = labels.detach().requires_grad_(labels_require_grad)
        theta_P = start_P.detach().requires_grad_()
        thetas, sum_P = [theta_P], torch.zeros_like(theta_P)
        for batch, draw in zip(draws.batches, draws.augmentations, strict=True):
            rows = batch.to(images_NCHW.device)
            logits_BK = inner.apply(theta_P, augmented(inner, images_NCHW[rows], draw))
            (gradient_P,) = torch.autograd.grad(cross_entropy(logits_BK, labels[rows]), theta_P, create_graph=True)
            sum_P = sum_P + gradient_P.detach()
            theta_P = theta_P - eta * gradient_P
            thetas.append(theta_P)
        loss = objective(theta_P)
        learned = [images_NCHW, eta, theta_P, *([labels] if labels_require_grad else [])]
        by_images, by_eta, final_P, *by_labels = torch.autograd.grad(loss, learned, materialize_grads=True)
    trace = Trace(loss.detach(), tuple(theta.detach() for theta in thetas), sum_P, final_P)
    return Gradients(by_images, by_eta, by_labels[0] if by_labels else None), trace
