"""The hypergradient by one graph through all inner steps: the reference the other kinds are held to.

Its memory grows with the number of steps times the images of a batch.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

import torch

from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem
from dcpipe.distillation.matching_results import Gradients, StudentResult, StudentTrace
from dcpipe.distillation.student import augmented, cross_entropy
from dcpipe.errors import UserError


def compute_hypergradient(problem: HypergradientProblem) -> StudentResult:
    """The derivatives of the objective through all T steps.

    Only `apply` and `augment` of the inner loop are used, always eagerly.
    Errors: UserError when a micro-batch is asked for.
    Source: MTT, arXiv:2203.11932, its public code.
    """
    inner, draws = problem.inner, problem.draws
    if inner.micro_batch is not None:
        raise UserError(
            "a micro-batch saves nothing when the graph of every step is kept",
            where="hypergradient: unrolled",
            remedy="choose the exact kind, or leave the micro-batch out",
        )
    with torch.enable_grad():
        images_NCHW, eta = problem.images_NCHW.detach().requires_grad_(), problem.step_size.detach().requires_grad_()
        labels = problem.labels.detach().requires_grad_(problem.labels_require_grad)
        theta_P = problem.start_P.detach().requires_grad_()
        thetas, sum_P = [theta_P], torch.zeros_like(theta_P)
        for batch, draw in zip(draws.batches, draws.augmentations, strict=True):
            rows = batch.to(images_NCHW.device)
            logits_BK = inner.apply(theta_P, augmented(inner, images_NCHW[rows], draw))
            (gradient_P,) = torch.autograd.grad(cross_entropy(logits_BK, labels[rows]), theta_P, create_graph=True)
            sum_P = sum_P + gradient_P.detach()
            theta_P = theta_P - eta * gradient_P
            thetas.append(theta_P)
        loss = problem.objective(theta_P)
        learned = [images_NCHW, eta, theta_P, *([labels] if problem.labels_require_grad else [])]
        by_images, by_eta, final_P, *by_labels = torch.autograd.grad(loss, learned, materialize_grads=True)
    trace = StudentTrace(tuple(theta.detach() for theta in thetas), sum_P, final_P)
    return StudentResult(loss.detach(), Gradients(by_images, by_eta, by_labels[0] if by_labels else None), trace)
