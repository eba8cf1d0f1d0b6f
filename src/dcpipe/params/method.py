"""A method is a composition: a matching objective and one value on each axis (a params/methods file)."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dcpipe.distillation.dynamics.dynamics_config import NoDynamics
from dcpipe.params.compute import DistillationCompute
from dcpipe.params.method_axes import MatchingConfig
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.outer_axes import (
    AveragingConfig,
    DynamicsMeasureConfig,
    FirstImagesConfig,
    LabelsConfig,
    MatchedParametersConfig,
    OptimiserConfig,
    SharpnessConfig,
    StepSizeConfig,
)
from dcpipe.params.schema import STRICT, Count, Index, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Images:
    """The synthetic images."""

    initial: FirstImagesConfig
    optimiser: OptimiserConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OuterLoop:
    """The loop over image updates."""

    iterations: Count = Field(description="iterations, of one update or several each")
    snapshot_every: Count = Field(description="a copy of the set is kept at every so many iterations, for selection")
    images: Images
    step_size: StepSizeConfig
    labels: LabelsConfig
    loss_threshold: PositiveFloat | None = Field(
        description="iterations whose loss is above change nothing (DATM); null: none is left out"
    )
    sharpness: SharpnessConfig
    averaging: AveragingConfig
    coordinates: MatchedParametersConfig
    dynamics: Annotated[DynamicsMeasureConfig, NeutralDefault(NoDynamics(kind="none"))]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Method:
    """A preset as resolved for one dataset and ipc. `outer` is null exactly when nothing is matched."""

    description: str = Field(description="a line that describes the method, for lists")
    label: str = Field(description="its name in tables and figures")
    seed: Index = Field(description="seed of all its random draws")
    matching: MatchingConfig
    outer: OuterLoop | None
    compute: DistillationCompute

    @model_validator(mode="after")
    def _has_an_outer_loop_iff_it_matches(self) -> "Method":
        if self.matching.has_outer_loop != (self.outer is not None):
            raise ValueError("write outer: null for a coreset, and the values of outer for every other matching")
        return self
