"""TESLA's hypergradient: each inner step's own derivative, without what it does to later steps.

The student's last parameters are theta_0 - eta sum_i g_i(S, theta_i). With every theta_i held, the loss's derivative by
S is -eta sum_i d<g_i, v>/dS, v the loss's gradient at the last parameters, and by eta -<sum_i g_i, v>. For trajectory
matching v is 2 (theta_T - target) / way^2; its factor 2, which the public code loses for the images, is kept.

Exact for one step, or where inner gradients do not depend on the parameters; otherwise right to first order in eta. The
memory is that of one step, however many, as the exact kind's is; a step's pullback leaves the parameters out, which
saves little of it: 5 % on one core, batch 10, for a ConvNet on 8x8 or 32x32. Both passes see the same draws.

Source: TESLA, arXiv:2211.10586.
"""

from dcpipe.distillation.hypergradient.exact import backward_pass
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem
from dcpipe.distillation.matching_results import StudentResult
from dcpipe.distillation.student import train_student_without_graph


def compute_hypergradient(problem: HypergradientProblem) -> StudentResult:
    """The derivatives of the objective, each step by itself.

    Memory: T+1 parameter vectors, and the activations of one micro-batch in one step, however long the loop.
    """
    return backward_pass(problem, *train_student_without_graph(problem), [], through_parameters=False)
