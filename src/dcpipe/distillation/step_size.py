"""The derivative of the step size that an iteration descends: the matching's own, or the first-order rule."""

from dataclasses import replace

from torch import Tensor

from dcpipe.distillation.hypergradient.common import Gradients, Trace
from dcpipe.params.outer import FirstOrderStepSize, FixedStepSize, LearnedStepSize

StepSize = LearnedStepSize | FirstOrderStepSize | FixedStepSize


def ruled(what: StepSize, gradients: Gradients, trace: Trace, step_size: Tensor) -> Gradients:
    """The gradients with the step size's derivative as the rule has it."""
    if not isinstance(what, FirstOrderStepSize):
        return gradients
    return replace(gradients, step_size=first_order(what, trace, step_size))


def first_order(what: FirstOrderStepSize, trace: Trace, step_size: Tensor) -> Tensor:
    """-<v, sum of all T inner gradients>, v the loss's gradient at the student's end, in the rule's unit (0-d).

    What earlier steps do to later ones is left out, so no step is differentiated; with one step nothing is left out.
    `largest_change` bounds the update that the derivative alone makes, as a share of the step size.
    Source: SATM, equation 10 and section A.4; TESLA, arXiv:2211.10586, has the same rule.
    """
    eta = step_size.to(trace.gradient_sum.dtype)
    derivative = -(trace.final_gradient @ trace.gradient_sum)
    if what.unit == "squared-step-size":
        derivative = derivative * eta.square()
    if what.largest_change is None:
        return derivative
    bound = what.largest_change * eta / what.learning_rate
    return derivative.clamp(-bound, bound)
