"""The derivative of the step size that an iteration descends: the matching's own, or the first-order rule."""

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from dcpipe.distillation.matching_results import Gradients, StudentTrace
from dcpipe.errors import UserError

if TYPE_CHECKING:
    from dcpipe.distillation.step_size.step_size_config import FirstOrderStepSize


class StepSizeRule(Protocol):
    """The gradients with the step size's derivative as the rule has it. `step_size` is 0-d."""

    def __call__(self, gradients: Gradients, trace: StudentTrace | None, step_size: Tensor, /) -> Gradients: ...


def unchanged_gradients(gradients: Gradients, _trace: StudentTrace | None, _step_size: Tensor) -> Gradients:
    """The derivative that the matching answered."""
    return gradients


def first_order(
    config: "FirstOrderStepSize", gradients: Gradients, trace: StudentTrace | None, step_size: Tensor
) -> Gradients:
    """The derivative by the first-order rule. Raises: UserError where there is no student."""
    if trace is None:
        remedy = "choose another kind"
        raise UserError("the matching must train students", where="outer.step_size.kind: first-order", remedy=remedy)
    return replace(gradients, step_size=first_order_derivative(config, trace, step_size))


def first_order_derivative(config: "FirstOrderStepSize", trace: StudentTrace, step_size: Tensor) -> Tensor:
    """-<v, sum of all T inner gradients>, v the loss's gradient at the student's end, in the rule's unit (0-d).

    What earlier steps do to later ones is left out, so no step is differentiated; with one step nothing is left out.
    `largest_change` bounds the update that the derivative alone makes, as a share of the step size.
    Source: SATM, equation 10 and section A.4; TESLA, arXiv:2211.10586, has the same rule.
    """
    eta = step_size.to(trace.gradient_sum.dtype)
    derivative = -(trace.final_gradient @ trace.gradient_sum)
    if config.unit == "squared-step-size":
        derivative = derivative * eta.square()
    if config.largest_change is None:
        return derivative
    bound = config.largest_change * eta / config.optimiser.learning_rate
    return derivative.clamp(-bound, bound)
