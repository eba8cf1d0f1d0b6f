"""Levels: of which groups of classes the gradients are matched."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_axes import GradientLevelsConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.distillation.levels.level_weights import Levels


def _weight(value: object) -> object:
    """The value itself. Raises: ValueError (for pydantic) if it is neither `classes` nor a number from 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "classes" and not (is_number and 0 <= float(str(value)) < math.inf):
        raise ValueError(f"a weight is a number from 0, or the word classes (it is {value!r})")
    return value


def _above_0(value: object) -> object:
    if value == 0:
        raise ValueError("with a weight of 0 nothing is matched; write a number above 0, or classes")
    return value


Weight = Annotated[Literal["classes"] | float, PlainValidator(_weight)]
"""Of the gradients of all classes together; `classes` is the number of classes."""
PositiveWeight = Annotated[Weight, AfterValidator(_above_0)]
WEIGHT = "weight of the distance of all classes together; classes: their number"


def numeric_weight(weight: Literal["classes"] | float, classes: int) -> float:
    """A weight as a number."""
    return float(classes if weight == "classes" else weight)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Intra(GradientLevelsConfig):
    """The gradients of each class are matched (DC, arXiv:2006.05929)."""

    implementation = ("dcpipe.distillation.levels.level_weights",)

    kind: Literal["intra-class"]

    def build(self, _classes: int) -> "Levels":
        """Each class counts."""
        from dcpipe.distillation.levels import level_weights

        return level_weights.constant(1.0, 0.0)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"intra-class": Example({"kind": "intra-class"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Inter(GradientLevelsConfig):
    """The gradient of all classes together is matched."""

    implementation = ("dcpipe.distillation.levels.level_weights",)

    kind: Literal["inter-class"]
    weight: PositiveWeight = Field(description=WEIGHT)

    def build(self, classes: int) -> "Levels":
        """All classes together count."""
        from dcpipe.distillation.levels import level_weights

        return level_weights.constant(0.0, numeric_weight(self.weight, classes))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A weight that matters."""
        return {"inter-class": Example({"kind": "inter-class", "weight": 3.0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Interleaved(GradientLevelsConfig):
    """Each class in one update, all classes together in the next."""

    implementation = ("dcpipe.distillation.levels.level_weights",)

    kind: Literal["interleaved"]
    weight: PositiveWeight = Field(description=WEIGHT)

    def build(self, classes: int) -> "Levels":
        """The two in turns."""
        from dcpipe.distillation.levels import level_weights

        return level_weights.alternating(numeric_weight(self.weight, classes))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A weight that matters."""
        return {"interleaved": Example({"kind": "interleaved", "weight": 3.0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MultiLevel(GradientLevelsConfig):
    """Each class and all classes together (arXiv:2208.00311, equation 6)."""

    implementation = ("dcpipe.distillation.levels.level_weights",)

    kind: Literal["multi-level"]
    weight: Weight = Field(description=f"{WEIGHT}; lambda")

    def build(self, classes: int) -> "Levels":
        """Both count."""
        from dcpipe.distillation.levels import level_weights

        return level_weights.constant(1.0, numeric_weight(self.weight, classes))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A weight that matters."""
        return {"multi-level": Example({"kind": "multi-level", "weight": 3.0}, changes={"weight": 5.0})}
