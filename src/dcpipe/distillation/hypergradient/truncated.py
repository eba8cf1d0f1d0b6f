"""The hypergradient through the last inner steps alone.

Steps 0 .. iota-1 are run and not differentiated: with the parameters after them taken for constants, what is left of
the sum over all steps is that over the last ones, each as exact as the adjoint has it.

Legend: N images, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.hypergradient import exact
from dcpipe.distillation.hypergradient.common import Gradients, Hypergradient, Inner, InnerDraws, Objective, Trace
from dcpipe.distillation.student import run


def through_last(kept_steps: int) -> Hypergradient:
    """The kind that differentiates the last `kept_steps` steps (all, where there are fewer; with 0, none).

    The derivative of the step size is cut like that of the images. The trace's gradient sum is over all T steps; its
    parameter vectors begin at the cut.
    Memory: `kept_steps` + 1 parameter vectors, and the activations of one micro-batch in one step.
    Errors: UserError when the derivative of hard labels is asked for.
    Source: SATM, truncated unrolling hypergradient, equation 8.
    """

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
        cut = max(0, draws.steps - kept_steps)
        (at_cut_P,), sum_P = run(
            inner,
            images_NCHW=images_NCHW,
            labels=labels,
            step_size=step_size,
            start_P=start_P,
            draws=draws.before(cut),
            kept_from=cut,
        )
        gradients, trace = exact.evaluate(
            inner,
            images_NCHW=images_NCHW,
            labels=labels,
            step_size=step_size,
            start_P=at_cut_P,
            objective=objective,
            draws=draws.after(cut),
            labels_require_grad=labels_require_grad,
        )
        return gradients, replace(trace, gradient_sum=sum_P + trace.gradient_sum, first=cut)

    return evaluate
