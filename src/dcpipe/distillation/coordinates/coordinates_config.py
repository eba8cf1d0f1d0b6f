"""Coordinates: which of the student's parameters count."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, Need
from dcpipe.params.outer_axes import MatchedParametersConfig
from dcpipe.params.schema import STRICT, Fraction

if TYPE_CHECKING:
    from dcpipe.distillation.coordinates.objectives import CoordinateRule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AllCoordinates(MatchedParametersConfig):
    """Every parameter of the student counts."""

    implementation = ()  # what needs no restriction imports that

    kind: Literal["all"]

    def build(self) -> "CoordinateRule":
        """No restriction."""
        from dcpipe.distillation.coordinates import objectives

        return objectives.unrestricted

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"all": Example({"kind": "all"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrunedCoordinates(MatchedParametersConfig):
    """Parameters count where the student's last is near the target's (PP, arXiv:2209.14609; a reconstruction)."""

    implementation = ("dcpipe.distillation.coordinates.pruning",)
    needs = frozenset({Need.STUDENTS})

    kind: Literal["pruned"]
    threshold: Fraction = Field(description="the smaller magnitude must be at least this share of the larger")

    def build(self) -> "CoordinateRule":
        """Restricted to what the student got near."""
        from dcpipe.distillation.coordinates import pruning

        return partial(pruning.pruned, threshold=self.threshold)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Half as large at least."""
        return {"pruned": Example({"kind": "pruned", "threshold": 0.5})}
