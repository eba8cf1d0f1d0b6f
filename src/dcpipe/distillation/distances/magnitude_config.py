"""Magnitudes: how the lengths of two gradients are compared, row by row."""

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
class NoMagnitude(GradientMagnitudeConfig):
    """The length of gradients does not matter."""

    implementation = ("dcpipe.distillation.distances.row_distances",)

    kind: Literal["none"]

    def build(self) -> "RowDistance":
        """Nothing."""
        from dcpipe.distillation.distances import row_distances

        return row_distances.zero

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Magnitude(GradientMagnitudeConfig):
    """A distance of rows that their lengths do matter to: |a - b|, |a - b|^2, or that over the row's length."""

    implementation = ("dcpipe.distillation.distances.row_distances",)

    kind: Literal["euclidean", "squared", "mean-squared"]
    weight: PositiveFloat = Field(description="weight of this distance next to that of the angle")

    @property
    def distance_weight(self) -> float:
        """The weight."""
        return self.weight

    def build(self) -> "RowDistance":
        """The distance of that name."""
        from dcpipe.distillation.distances import row_distances

        return row_distances.MAGNITUDES[self.kind]

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Weights that matter."""
        weights = {"euclidean": 1.0, "squared": 1.0, "mean-squared": 100.0}
        return {kind: Example({"kind": kind, "weight": weight}) for kind, weight in weights.items()}
