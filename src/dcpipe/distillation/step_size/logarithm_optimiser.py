"""An optimiser of the logarithm of a positive tensor: what it returns stays positive, whatever the gradient.

By the chain rule the derivative by log x is x times the derivative by x, so a plain gradient step of rate r changes x
by -r x^2 g in the first order, where a step on x itself changes it by -r g.
"""

import torch
from torch import Tensor

from dcpipe.distillation.optimisers.tensor_optimiser import TensorOptimiser


class LogarithmOptimiser:
    """See `dcpipe.distillation.optimisers.tensor_optimiser.TensorOptimiser`."""

    def __init__(self, inner: TensorOptimiser) -> None:
        self._inner = inner

    def step(self, tensor: Tensor, gradient: Tensor) -> Tensor:
        """The tensor after a step of its logarithm; both positive, of any shape."""
        return self._inner.step(tensor.log(), tensor * gradient).exp()

    def state_dict(self) -> dict[str, Tensor]:
        """The inner optimiser's."""
        return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take up the inner optimiser's."""
        self._inner.load_state_dict(state, device)

    def copy(self) -> "LogarithmOptimiser":
        """Another one in the same state."""
        return LogarithmOptimiser(self._inner.copy())
