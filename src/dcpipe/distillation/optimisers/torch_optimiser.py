"""Optimisers of torch.optim on the outer loop's tensors, with their own state_dict."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

MakeOptimizer = Callable[[list[Parameter]], Optimizer]


class TorchOptimiser:
    """Any class of torch.optim whose state of a parameter is tensors: `make` gives it its one parameter.

    See `dcpipe.distillation.optimisers.tensor_optimiser.TensorOptimiser`.
    """

    def __init__(self, make: MakeOptimizer, state: dict[str, Tensor] | None = None) -> None:
        self._make, self._state = make, dict(state or {})

    @torch.no_grad()
    def step(self, tensor: Tensor, gradient: Tensor) -> Tensor:
        """One step. The state is copied first: torch.optim changes it in place, and a step may be taken back."""
        parameter = Parameter(tensor.detach().clone())
        optimiser = self._make([parameter])
        if self._state:
            state = {name: value.clone() for name, value in self._state.items()}
            optimiser.load_state_dict({**optimiser.state_dict(), "state": {0: state}})
        parameter.grad = gradient
        optimiser.step()
        self._state = {name: torch.as_tensor(value) for name, value in optimiser.state_dict()["state"][0].items()}
        return parameter.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """The state that torch.optim keeps of the parameter, by its names there."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:  # noqa: ARG002
        """Take up a saved state; torch.optim moves it to the parameter, all but counts, which it keeps on the CPU."""
        self._state = dict(state)

    def copy(self) -> "TorchOptimiser":
        """Another one in the same state."""
        return TorchOptimiser(self._make, self._state)
