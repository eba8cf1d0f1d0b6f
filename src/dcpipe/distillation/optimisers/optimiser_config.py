"""Optimisers of the images, the step size and the label logits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.outer_axes import OptimiserConfig
from dcpipe.params.schema import STRICT, Fraction, NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.optimisers.tensor_optimiser import TensorOptimiser

STILL = 1e-30  # a learning rate that moves nothing


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sgd(OptimiserConfig):
    """Stochastic gradient descent with momentum, as torch.optim.SGD has it."""

    implementation = ("dcpipe.distillation.optimisers.sgd_optimiser",)

    kind: Literal["sgd"]
    learning_rate: NonNegativeFloat = Field(description="step size; --lr_img, --lr_lr or --lr_y of the MTT code")
    momentum: Fraction = Field(description="momentum: share of the last step that is added to the next one")

    def build(self) -> "TensorOptimiser":
        """The optimiser of one tensor."""
        from dcpipe.distillation.optimisers.sgd_optimiser import SgdOptimiser

        return SgdOptimiser(self)

    def rehearsal_substitute(self) -> "Sgd":
        """One that moves nothing: noise teaches nothing."""
        return replace(self, learning_rate=STILL)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The usual one."""
        return {"sgd": Example({"kind": "sgd", "learning_rate": 1e-5, "momentum": 0.5})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adam(OptimiserConfig):
    """Adam (arXiv:1412.6980), as torch.optim.Adam has it."""

    implementation = ("dcpipe.distillation.optimisers.adam_optimiser",)

    kind: Literal["adam"]
    learning_rate: NonNegativeFloat = Field(description="largest step, roughly")
    beta_1: Fraction = Field(lt=1, description="decay of the running mean of gradients")
    beta_2: Fraction = Field(lt=1, description="decay of the running mean of squared gradients")
    epsilon: PositiveFloat = Field(description="added to the root of the mean square")

    def build(self) -> "TensorOptimiser":
        """The optimiser of one tensor."""
        from dcpipe.distillation.optimisers.adam_optimiser import AdamOptimiser

        return AdamOptimiser(self)

    def rehearsal_substitute(self) -> "Adam":
        """One that moves nothing: noise teaches nothing."""
        return replace(self, learning_rate=STILL)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Kingma and Ba's values, at a rate for pixels."""
        tree = {"kind": "adam", "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
        return {"adam": Example(tree, changes={"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3})}
