"""SGD with momentum and weight decay on one flat parameter vector, as torch.optim.SGD does it, bit for bit.

A flat vector needs three operations a step whatever the network, and its state is one tensor to save.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class SGD:
    """The optimiser's state: the velocity is None before the first step, as in PyTorch."""

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    velocity_P: Tensor | None = None

    @torch.no_grad()
    def step(self, theta_P: Tensor, gradient_P: Tensor) -> Tensor:
        """The parameters after one step (a new tensor)."""
        if self.weight_decay:
            gradient_P = gradient_P.add(theta_P, alpha=self.weight_decay)
        if self.momentum:
            if self.velocity_P is None:
                self.velocity_P = gradient_P.clone()
            else:
                self.velocity_P = self.velocity_P.mul(self.momentum).add_(gradient_P)
            gradient_P = self.velocity_P
        return theta_P.add(gradient_P, alpha=-self.learning_rate)
