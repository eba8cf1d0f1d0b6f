"""SGD with momentum on the outer loop's tensors: `dcpipe.models.sgd`, bit for bit torch.optim.SGD.

It is kept beside torch.optim.SGD because the first use of torch.optim's classes imports torch's compiler: 1.1 s in each
process, where most sets of small experiments take a few seconds.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dcpipe.models.sgd import SGD

if TYPE_CHECKING:
    from dcpipe.distillation.optimisers.optimiser_config import Sgd


class SgdOptimiser:
    """See `dcpipe.distillation.optimisers.tensor_optimiser.TensorOptimiser`."""

    def __init__(self, config: "Sgd", velocity: Tensor | None = None) -> None:
        self._config = config
        self._sgd = SGD(config.learning_rate, config.momentum, velocity_P=velocity)

    def step(self, tensor: Tensor, gradient: Tensor) -> Tensor:
        """One step."""
        return self._sgd.step(tensor, gradient)

    def state_dict(self) -> dict[str, Tensor]:
        """The running sum of gradients, by the name it has in torch.optim.SGD."""
        velocity = self._sgd.velocity_P
        return {} if velocity is None else {"momentum_buffer": velocity}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take up a saved state."""
        velocity = state.get("momentum_buffer")
        self._sgd.velocity_P = None if velocity is None else velocity.to(device)

    def copy(self) -> "SgdOptimiser":
        """Another one in the same state."""
        return SgdOptimiser(self._config, self._sgd.velocity_P)
