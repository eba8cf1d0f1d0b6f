"""How a student is trained in the inner loop, and how its gradients and their pullbacks are computed."""

from typing import Literal

from dcpipe.distillation.hypergradient.analytic_derivatives import AnalyticDerivatives
from dcpipe.distillation.hypergradient.autograd_derivatives import AutogradDerivatives
from dcpipe.distillation.hypergradient.compiled_derivatives import CompiledDerivatives
from dcpipe.distillation.hypergradient.hypergradient_problem import Apply, Augment, InnerTraining, StepDerivatives
from dcpipe.errors import UserError
from dcpipe.models.convnet_derivatives import ConvNetDerivatives

Backend = Literal["eager", "compiled"]


def make_inner_training(
    apply: Apply,
    *,
    derivatives: ConvNetDerivatives | None = None,
    augment: Augment | None = None,
    micro_batch: int | None = None,
    backend: Backend = "eager",
) -> InnerTraining:
    """The inner loop of a network; make it once, since a compiled one is traced per shape of batch.

    `derivatives`: the network's analytic ones, where it has them; None: by autograd.
    A network whose images influence each other (batch normalisation) must not be cut into micro-batches.
    Errors: UserError for a micro-batch below 1.
    """
    if micro_batch is not None and micro_batch < 1:
        raise UserError(f"a micro-batch holds at least 1 image, not {micro_batch}", where="micro_batch")
    return InnerTraining(apply, _step_derivatives(apply, derivatives, backend), augment, micro_batch)


def _step_derivatives(apply: Apply, derivatives: ConvNetDerivatives | None, backend: Backend) -> StepDerivatives:
    if derivatives is not None:
        return AnalyticDerivatives(derivatives, compiled=backend == "compiled")
    return AutogradDerivatives(apply) if backend == "eager" else CompiledDerivatives(apply)
