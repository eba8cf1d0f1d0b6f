"""Stop before an update that would ruin the set."""

import torch
from torch import Tensor

from dcpipe.errors import NonFiniteError


def refuse_non_finite(iteration: int, **tensors: Tensor | None) -> None:
    """Raises: NonFiniteError naming the iteration and the tensor, before anything was updated with it."""
    for name, tensor in tensors.items():
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            rates = (
                "outer.labels.optimiser.learning_rate"
                if name == "labels"
                else "outer.images.optimiser.learning_rate or outer.step_size.optimiser.learning_rate"
            )
            remedy = f"lower {rates}, or in iteration 0 outer.step_size.initial; the state before it is kept"
            raise NonFiniteError(
                f"{name.replace('_', ' ')} is not finite", where=f"iteration {iteration}", remedy=remedy
            )


def refuse_bad_step_size(iteration: int, step_size: Tensor) -> None:
    """Raises: NonFiniteError if the learned step size would be zero or negative: students would climb."""
    if not float(step_size) > 0.0:
        remedy = "lower outer.step_size.optimiser.learning_rate or outer.step_size.initial; the state before it is kept"
        problem = f"the step size would become {float(step_size):.3g}"
        raise NonFiniteError(problem, where=f"iteration {iteration}", remedy=remedy)
