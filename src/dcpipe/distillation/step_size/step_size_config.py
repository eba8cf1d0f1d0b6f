"""Step size: the student's learning rate, a raw scalar that evaluation may train with too."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, Need
from dcpipe.params.outer_axes import OptimiserConfig, StepSizeConfig
from dcpipe.params.schema import STRICT, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.optimisers.tensor_optimiser import TensorOptimiser
    from dcpipe.distillation.step_size.step_size_rules import StepSizeRule

INITIAL = "the step size at first; --lr_teacher"
SGD = {"kind": "sgd", "learning_rate": 1e-5, "momentum": 0.5}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LearnedStepSize(StepSizeConfig):
    """Learned by the hypergradient's derivative."""

    implementation = ("dcpipe.distillation.step_size.step_size_rules",)
    needs = frozenset({Need.STUDENTS})

    kind: Literal["learned"]
    initial: PositiveFloat = Field(description=INITIAL)
    optimiser: OptimiserConfig

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """Its optimiser."""
        return self.optimiser

    def build(self) -> "StepSizeRule":
        """The matching's own derivative."""
        from dcpipe.distillation.step_size import step_size_rules

        return step_size_rules.unchanged_gradients

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """At another initial value than most presets."""
        return {"learned": Example({"kind": "learned", "initial": 0.01, "optimiser": SGD})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FirstOrderStepSize(StepSizeConfig):
    """Learned by the first-order derivative, which differentiates no step (SATM).

    The derivative is taken as it is (`plain`), or times the squared step size, so that the rate is of relative
    changes (`squared-step-size`).
    """

    implementation = ("dcpipe.distillation.step_size.step_size_rules",)
    needs = frozenset({Need.STUDENTS})

    kind: Literal["first-order"]
    initial: PositiveFloat = Field(description=INITIAL)
    optimiser: OptimiserConfig
    unit: Literal["plain", "squared-step-size"] = Field(description="what the derivative is multiplied by")
    largest_change: PositiveFloat | None = Field(
        description="bound of an update by the derivative alone, as a share of the step size; null: none"
    )

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """Its optimiser."""
        return self.optimiser

    def build(self) -> "StepSizeRule":
        """The first-order derivative."""
        from dcpipe.distillation.step_size import step_size_rules

        return partial(step_size_rules.first_order, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Unbounded."""
        tree = {"kind": "first-order", "initial": 0.05, "optimiser": SGD, "unit": "plain", "largest_change": None}
        return {"first-order": Example(tree, changes={"largest_change": 1e-9})}


class LogarithmOptimiserConfig(OptimiserConfig):
    """Any optimiser, of the logarithm of a positive number."""

    def __init__(self, inner: OptimiserConfig) -> None:
        self.inner, self.learning_rate = inner, inner.learning_rate

    def build(self) -> "TensorOptimiser":
        """A fresh one."""
        from dcpipe.distillation.step_size.logarithm_optimiser import LogarithmOptimiser

        return LogarithmOptimiser(self.inner.build())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LogarithmStepSize(StepSizeConfig):
    """Its logarithm is learned by the hypergradient's derivative, so that it is positive whatever the rate."""

    implementation = (
        "dcpipe.distillation.step_size.step_size_rules",
        "dcpipe.distillation.step_size.logarithm_optimiser",
    )
    needs = frozenset({Need.STUDENTS})

    kind: Literal["logarithm"]
    initial: PositiveFloat = Field(description=INITIAL)
    optimiser: OptimiserConfig

    @property
    def learning_optimiser(self) -> OptimiserConfig | None:
        """Its optimiser, of the logarithm."""
        return LogarithmOptimiserConfig(self.optimiser)

    def build(self) -> "StepSizeRule":
        """The matching's own derivative; the optimiser takes it to the logarithm."""
        from dcpipe.distillation.step_size import step_size_rules

        return step_size_rules.unchanged_gradients

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """With a rate of relative changes."""
        sgd = {"kind": "sgd", "learning_rate": 1e-2, "momentum": 0.5}
        return {"logarithm": Example({"kind": "logarithm", "initial": 0.01, "optimiser": sgd})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedStepSize(StepSizeConfig):
    """Kept as it is. Matchings that draw networks of their own train them with it."""

    implementation = ("dcpipe.distillation.step_size.step_size_rules",)

    kind: Literal["fixed"]
    initial: PositiveFloat = Field(description=INITIAL)

    def build(self) -> "StepSizeRule":
        """Nothing is learned, whatever is answered."""
        from dcpipe.distillation.step_size import step_size_rules

        return step_size_rules.unchanged_gradients

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The usual value of digits, where overrides would state others."""
        return {"fixed": Example({"kind": "fixed", "initial": 0.05}, required_params={"overrides.digits": {}})}
