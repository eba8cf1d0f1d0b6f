"""Adam on the outer loop's tensors: torch.optim.Adam."""

from typing import TYPE_CHECKING

from torch.nn import Parameter
from torch.optim import Adam as TorchAdam

from dcpipe.distillation.optimisers.torch_optimiser import TorchOptimiser

if TYPE_CHECKING:
    from dcpipe.distillation.optimisers.optimiser_config import Adam


class AdamOptimiser(TorchOptimiser):
    """torch.optim.Adam with a value's knobs."""

    def __init__(self, config: "Adam") -> None:
        betas = (config.beta_1, config.beta_2)

        def make_adam(parameters: list[Parameter]) -> TorchAdam:
            return TorchAdam(parameters, lr=config.learning_rate, betas=betas, eps=config.epsilon, foreach=False)

        super().__init__(make_adam)
