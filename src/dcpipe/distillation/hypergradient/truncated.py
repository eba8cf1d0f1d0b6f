"""The hypergradient through the last inner steps alone.

Steps 0 .. iota-1 are run and not differentiated: with the parameters after them taken for constants, what is left of
the sum over all steps is that over the last ones, each as exact as the adjoint has it.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

from dataclasses import replace

from dcpipe.distillation.hypergradient import exact
from dcpipe.distillation.hypergradient.hypergradient_problem import Hypergradient, HypergradientProblem
from dcpipe.distillation.matching_results import StudentResult
from dcpipe.distillation.student import train_student_without_graph


def truncated_hypergradient(kept_steps: int, through_all: Hypergradient = exact.compute_hypergradient) -> Hypergradient:
    """The kind that differentiates the last `kept_steps` steps (all, where there are fewer; with 0, none).

    `through_all` differentiates those.

    The derivative of the step size is cut like that of the images. The trace's gradient sum is over all T steps; its
    parameter vectors begin at the cut.
    Memory: `kept_steps` + 1 parameter vectors, and what `through_all` takes.
    Source: SATM, truncated unrolling hypergradient, equation 8.
    """

    def compute_hypergradient(problem: HypergradientProblem) -> StudentResult:
        draws = problem.draws
        cut = max(0, draws.steps - kept_steps)
        (at_cut_P,), sum_P = train_student_without_graph(replace(problem, draws=draws.before(cut)), first_returned=cut)
        result = through_all(replace(problem, start_P=at_cut_P, draws=draws.after(cut)))
        trace = replace(result.trace, gradient_sum=sum_P + result.trace.gradient_sum, first=cut)
        return replace(result, trace=trace)

    return compute_hypergradient
