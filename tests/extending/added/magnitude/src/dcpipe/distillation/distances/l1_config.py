"""The magnitude l1: the knobs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_axes import GradientMagnitudeConfig
from dcpipe.params.schema import STRICT, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.distances.row_distances import RowDistance


@dataclass(frozen=True, kw_only=True, config=STRICT)
class L1(GradientMagnitudeConfig):
    """The sum of absolute differences of two rows."""

    implementation = ("dcpipe.distillation.distances.l1",)

    kind: Literal["l1"]
    weight: PositiveFloat = Field(description="weight of this distance next to that of the angle")

    @property
    def distance_weight(self) -> float:
        """The weight."""
        return self.weight

    def build(self) -> "RowDistance":
        """The distance of rows."""
        from dcpipe.distillation.distances.l1 import l1

        return l1

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A weight that matters."""
        return {"l1": Example({"kind": "l1", "weight": 1.0})}
