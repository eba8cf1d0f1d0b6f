"""The exact hypergradient in the memory of one inner step.

Forward without anything kept but the T+1 parameter vectors; then backward, one vector-Jacobian product a
step. With theta_{i+1} = theta_i - eta g_i and v = d loss / d theta_{i+1}, a step gives
    d loss / d theta_i = v - eta d<g_i, v>/d theta_i,
adds -eta d<g_i, v>/dS to the derivative of the images (and of label logits), and -<g_i, v> to that of eta.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, objective_and_gradient
from dcpipe.distillation.hypergradient.inner_step import InnerStep
from dcpipe.distillation.matching_results import Gradients, StudentResult, StudentTrace
from dcpipe.distillation.student import train_student_without_graph


def compute_hypergradient(problem: HypergradientProblem) -> StudentResult:
    """The derivatives of the objective through all T steps.

    Memory: T+1 parameter vectors, and the activations of one micro-batch in one step, however long the loop.
    Source: the adjoint of the inner loop of MTT, arXiv:2203.11932.
    """
    return backward_pass(problem, *train_student_without_graph(problem), [], through_parameters=True)


def backward_pass(
    problem: HypergradientProblem,
    thetas: Sequence[Tensor],
    sum_P: Tensor,
    kept_steps: list[InnerStep],
    *,
    through_parameters: bool,
) -> StudentResult:
    """The walk back through all steps: the last ones are `kept_steps`, and used up; the others are taken again.

    `thetas`: the parameters before every step and after the last. `sum_P`: the sum of the gradients.
    Without `through_parameters` v stays what it is at the last parameters: TESLA's kind.
    """
    eta = problem.step_size.detach()
    loss, final_P = objective_and_gradient(problem.objective, thetas[-1])
    v_P, by_step_size = final_P, torch.zeros_like(eta)
    by_images, by_labels = torch.zeros_like(problem.images_NCHW), torch.zeros_like(problem.labels)
    for number in reversed(range(problem.draws.steps)):
        step = kept_steps.pop() if kept_steps else InnerStep.of(problem, number, thetas[number], keep=False)
        pulled, rows = step.pullback(v_P, through_parameters=through_parameters), step.rows
        del step  # before the next one is made
        by_images.index_add_(0, rows, pulled.images)
        if pulled.labels is not None:
            by_labels.index_add_(0, rows, pulled.labels)
        by_step_size -= pulled.slope
        if pulled.theta is not None:
            v_P = v_P - eta * pulled.theta
    learned_labels = -eta * by_labels if problem.labels_require_grad else None
    gradients = Gradients(-eta * by_images, by_step_size, learned_labels)
    return StudentResult(loss, gradients, StudentTrace(tuple(thetas), sum_P, final_P))
