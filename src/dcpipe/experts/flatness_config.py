"""How networks are trained: plain SGD, or surrogate-gap sharpness-aware steps."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.flatness import FlatnessConfig
from dcpipe.params.schema import STRICT, NonNegativeFloat

if TYPE_CHECKING:
    from dcpipe.experts.sharpness import DirectionRule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PlainSteps(FlatnessConfig):
    """Plain SGD."""

    implementation = ("dcpipe.experts.sharpness",)

    kind: Literal["none"]

    @property
    def is_plain(self) -> bool:
        """True."""
        return True

    def build(self) -> "DirectionRule":
        """The gradient itself."""
        from dcpipe.experts.sharpness import sgd_direction

        return sgd_direction

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GsamSteps(FlatnessConfig):
    """Surrogate-gap sharpness-aware steps (GSAM, arXiv:2203.08065), as FTD trains its flat experts."""

    implementation = ("dcpipe.experts.sharpness",)

    kind: Literal["gsam"]
    radius: NonNegativeFloat = Field(description="radius of the ball; rho")
    alpha: NonNegativeFloat = Field(description="weight of the part at right angles that is taken away")
    adaptive: bool = Field(description="true: the ball is in units of each parameter's magnitude (ASAM)")

    def build(self) -> "DirectionRule":
        """GSAM's direction."""
        from dcpipe.experts.sharpness import gsam_direction

        return partial(gsam_direction, radius=self.radius, alpha=self.alpha, adaptive=self.adaptive)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A ball that matters."""
        return {"gsam": Example({"kind": "gsam", "radius": 0.05, "alpha": 0.5, "adaptive": False})}
