"""What the outer loop asks of an optimiser: steps of one tensor, and a state to save and to take up again."""

from typing import Protocol

import torch
from torch import Tensor


class TensorOptimiser(Protocol):
    """An optimiser of one tensor. A step leaves the tensor alone and returns a new one."""

    def step(self, tensor: Tensor, gradient: Tensor) -> Tensor:
        """The tensor after one step; gradient and result have its shape."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that later steps depend on, besides the knobs; empty before the first step."""
        ...

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take up a saved state for a tensor on this device."""
        ...

    def copy(self) -> "TensorOptimiser":
        """Another one in the same state, whose steps leave this one alone."""
        ...
