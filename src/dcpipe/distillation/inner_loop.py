"""How a student of a network steps: which way its gradients and their pullbacks are computed."""

from typing import Literal

from dcpipe.distillation.hypergradient.by_autograd import ByAutograd
from dcpipe.distillation.hypergradient.by_compiler import ByCompiler
from dcpipe.distillation.hypergradient.problem import Apply, Augment, Inner, StepDerivatives
from dcpipe.distillation.hypergradient.written_out import WrittenOut
from dcpipe.errors import UserError
from dcpipe.models.convnet_derivatives import ConvNetDerivatives

Backend = Literal["eager", "compiled"]


def make_inner(
    apply: Apply,
    *,
    derivatives: ConvNetDerivatives | None = None,
    augment: Augment | None = None,
    micro_batch: int | None = None,
    backend: Backend = "eager",
) -> Inner:
    """The inner loop of a network; make it once, since a compiled one is traced per shape of batch.

    `derivatives`: the network's, where they are written out; None: by autograd.
    A network whose images influence each other (batch normalisation) must not be cut into micro-batches.
    Errors: UserError for a micro-batch below 1.
    """
    if micro_batch is not None and micro_batch < 1:
        raise UserError(f"a micro-batch holds at least 1 image, not {micro_batch}", where="micro_batch")
    return Inner(apply, _way(apply, derivatives, backend), augment, micro_batch)


def _way(apply: Apply, derivatives: ConvNetDerivatives | None, backend: Backend) -> StepDerivatives:
    if derivatives is not None:
        return WrittenOut(derivatives, compiled=backend == "compiled")
    return ByAutograd(apply) if backend == "eager" else ByCompiler(apply)
