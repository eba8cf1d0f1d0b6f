"""The exact hypergradient in the memory of one inner step.

Forward without a graph, keeping the T+1 parameter vectors; then backward, one vector-Jacobian product a
step. With theta_{i+1} = theta_i - eta g_i and v = d loss / d theta_{i+1}, a step gives
    d loss / d theta_i = v - eta d<g_i, v>/d theta_i,
adds -eta d<g_i, v>/dS to the derivative of the images (and of label logits), and -<g_i, v> to that of eta.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

import torch

from dcpipe.distillation.answers import Gradients, StudentAnswer, Trace
from dcpipe.distillation.hypergradient.problem import Problem, objective_and_gradient
from dcpipe.distillation.student import run, step_pullback


def evaluate(problem: Problem) -> StudentAnswer:
    """The derivatives of the objective through all T steps.

    Where the inner pullback leaves the parameters out, v stays what it is at the last ones: the per_step kind.
    Memory: T+1 parameter vectors, and the activations of one micro-batch in one step, however long the loop.
    Source: the adjoint of the inner loop of MTT, arXiv:2203.11932.
    """
    inner, draws = problem.inner, problem.draws
    images_NCHW, labels, eta = problem.images_NCHW.detach(), problem.labels.detach(), problem.step_size.detach()
    thetas, sum_P = run(problem)
    loss, final_P = objective_and_gradient(problem.objective, thetas[-1])
    v_P, by_step_size = final_P, torch.zeros_like(eta)
    by_images, by_labels = torch.zeros_like(images_NCHW), torch.zeros_like(labels)
    for step in reversed(range(draws.steps)):
        rows = draws.batches[step].to(images_NCHW.device)
        pulled = step_pullback(
            inner, thetas[step], images_NCHW[rows], labels[rows], draw=draws.augmentations[step], v_P=v_P
        )
        by_images.index_add_(0, rows, pulled.images)
        if pulled.labels is not None:
            by_labels.index_add_(0, rows, pulled.labels)
        by_step_size -= pulled.slope
        if pulled.theta is not None:
            v_P = v_P - eta * pulled.theta
    learned_labels = -eta * by_labels if problem.labels_require_grad else None
    return StudentAnswer(loss, Gradients(-eta * by_images, by_step_size, learned_labels), Trace(thetas, sum_P, final_P))
