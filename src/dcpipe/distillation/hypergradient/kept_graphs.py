"""The adjoint with steps that are kept: what `exact` takes again on its way back is at hand for the last steps.

A step takes 3 times a forward pass, its product with a vector 6 more, and taking it again 3 more: where it is kept it
takes 9 instead of 12, as one graph through all steps does. Kept or taken again, a step is the same operations on the
same numbers in the same order, so a budget of memory alters no bit.

Legend: P parameters, T inner steps.
"""

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.exact import backward_pass
from dcpipe.distillation.hypergradient.graph_sizes import step_bytes
from dcpipe.distillation.hypergradient.hypergradient_problem import Hypergradient, HypergradientProblem
from dcpipe.distillation.hypergradient.inner_step import InnerStep
from dcpipe.distillation.matching_results import StudentResult
from dcpipe.distillation.student import step_gradient


def budgeted_hypergradient(budget_bytes: int | None, *, through_parameters: bool = True) -> Hypergradient:
    """The hypergradient that keeps as many of the last steps as fit in a budget (None: all).

    Without `through_parameters` it is TESLA's: v stays what it is at the last parameters.
    Memory: T+1 parameter vectors, the kept steps, and one step more.
    """

    def compute_hypergradient(problem: HypergradientProblem) -> StudentResult:
        steps = problem.draws.steps
        first_kept = steps - kept_steps(problem, budget_bytes)
        theta_P, eta = problem.start_P.detach(), problem.step_size.detach()
        thetas, sum_P, kept = [theta_P], torch.zeros_like(theta_P), list[InnerStep]()
        for number in range(steps):
            if number >= first_kept:
                kept.append(InnerStep.of(problem, number, theta_P, keep=True))
                gradient_P = kept[-1].gradient(theta_P)
            else:
                gradient_P = _gradient_without_graph(problem, number, theta_P)
            sum_P += gradient_P
            theta_P = theta_P - eta * gradient_P
            thetas.append(theta_P)
        return backward_pass(problem, thetas, sum_P, kept, through_parameters=through_parameters)

    return compute_hypergradient


def _gradient_without_graph(problem: HypergradientProblem, number: int, theta_P: Tensor) -> Tensor:
    """The gradient of a step that is not kept, with the bits that it has where it is."""
    inner, draws = problem.inner, problem.draws
    if not inner.derivatives.has_bit_identical_gradient:
        return InnerStep.of(problem, number, theta_P, keep=False).gradient(theta_P)
    rows = draws.batches[number].to(theta_P.device)
    images_BCHW, labels = problem.images_NCHW.detach()[rows], problem.labels.detach()[rows]
    return step_gradient(inner, theta_P, images_BCHW, labels, draws.augmentations[number])


def kept_steps(problem: HypergradientProblem, budget_bytes: int | None) -> int:
    """How many steps a budget holds: all T, where there is none."""
    steps = problem.draws.steps
    return steps if budget_bytes is None or not steps else min(steps, budget_bytes // step_bytes(problem))
