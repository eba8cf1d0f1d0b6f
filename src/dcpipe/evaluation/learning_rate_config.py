"""Learning rates of evaluation."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.evaluation import LearningRateConfig
from dcpipe.params.schema import STRICT, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.evaluation.protocol import Rates


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticSetRate(LearningRateConfig):
    """The step size that the set was distilled with (a coreset carries one of its preset)."""

    implementation = ("dcpipe.evaluation.protocol",)

    kind: Literal["own"]

    @property
    def report_text(self) -> str:
        """As text for people."""
        return "the set's own step size"

    def build(self) -> "Rates":
        """The set's."""
        from dcpipe.evaluation import protocol

        return protocol.own_learning_rate

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"own": Example({"kind": "own"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedRate(LearningRateConfig):
    """One learning rate for every set."""

    implementation = ("dcpipe.evaluation.protocol",)

    kind: Literal["fixed"]
    value: PositiveFloat = Field(description="the rate")

    @property
    def constant_rate(self) -> float | None:
        """The rate."""
        return self.value

    @property
    def report_text(self) -> str:
        """As text for people."""
        return f"rate {self.value:g}"

    def build(self) -> "Rates":
        """Always the same."""
        from dcpipe.evaluation import protocol

        return partial(protocol.protocol_rates, (self.value,))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The field's usual rate."""
        return {"fixed": Example({"kind": "fixed", "value": 0.01})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchedRate(LearningRateConfig):
    """For every set the one of `values` that does best on the validation part; the smallest of several best ones."""

    implementation = ("dcpipe.evaluation.protocol",)
    needs_validation = True

    kind: Literal["searched"]
    values: Annotated[list[PositiveFloat], Field(min_length=2)] = Field(description="the rates, ascending")

    @field_validator("values")
    @classmethod
    def _ascend(cls, values: list[float]) -> list[float]:
        if any(after <= before for before, after in pairwise(values)):
            raise ValueError("list the rates in ascending order")
        return values

    @property
    def num_candidates(self) -> int:
        """All of them."""
        return len(self.values)

    @property
    def report_text(self) -> str:
        """As text for people."""
        return f"the rate of {', '.join(f'{value:g}' for value in self.values)} that does best on validation images"

    def rehearsal_substitute(self) -> LearningRateConfig:
        """One of them: each takes the same."""
        return FixedRate(kind="fixed", value=self.values[0])

    def build(self) -> "Rates":
        """All of them."""
        from dcpipe.evaluation import protocol

        return partial(protocol.protocol_rates, tuple(self.values))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two rates."""
        return {"searched": Example({"kind": "searched", "values": [0.001, 0.01]})}
