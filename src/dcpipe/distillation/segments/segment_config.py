"""Segments: which epochs of an expert a student imitates."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.schema import STRICT, Count, Index
from dcpipe.params.trajectory_axes import SegmentConfig

if TYPE_CHECKING:
    from dcpipe.distillation.segments.drawn_segments import SegmentRule

SPAN = "epochs from the start to the target; M, --expert_epochs"
CHANGES = {"max_start_epoch": 1, "span_epochs": 1}


def _start_and_end(starts: range, span: int) -> frozenset[int]:
    return frozenset({*starts, *(start + span for start in starts)})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedRange(SegmentConfig):
    """Start epochs drawn uniformly from min_start_epoch .. max_start_epoch - 1 (exclusive, as in the MTT code)."""

    implementation = ("dcpipe.distillation.segments.drawn_segments",)

    kind: Literal["fixed"]
    min_start_epoch: Index = Field(description="first start epoch; --min_start_epoch of DATM, 0 in MTT")
    max_start_epoch: Count = Field(description="first start epoch that is never drawn; --max_start_epoch")
    span_epochs: Count = Field(description=SPAN)

    @model_validator(mode="after")
    def _validate_range(self) -> "FixedRange":
        if self.min_start_epoch >= self.max_start_epoch:
            raise ValueError("min_start_epoch must be below max_start_epoch, which is never drawn itself")
        return self

    @property
    def last_epoch(self) -> int:
        """The target of the last start."""
        return self.max_start_epoch - 1 + self.span_epochs

    @property
    def checkpoint_epochs(self) -> frozenset[int]:
        """Every start and its target."""
        return _start_and_end(range(self.min_start_epoch, self.max_start_epoch), self.span_epochs)

    def build(self) -> "SegmentRule":
        """Uniform draws."""
        from dcpipe.distillation.segments import drawn_segments

        return partial(drawn_segments.fixed, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A range inside tiny's epochs."""
        tree = {"kind": "fixed", "min_start_epoch": 0, "max_start_epoch": 2, "span_epochs": 2}
        return {"fixed": Example(tree, changes=CHANGES)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GrowingRange(SegmentConfig):
    """As the fixed range, but it ends at first_max_start_epoch and grows evenly to max_start_epoch (DATM)."""

    implementation = ("dcpipe.distillation.segments.drawn_segments",)

    kind: Literal["growing"]
    min_start_epoch: Index = Field(description="first start epoch; --min_start_epoch")
    first_max_start_epoch: Count = Field(description="end of the range at first; T, --current_max_start_epoch")
    max_start_epoch: Count = Field(description="end of the range at last; T+, --max_start_epoch")
    growth_iterations: Count = Field(description="iterations until it has its full length; --expansion_end_epoch")
    span_epochs: Count = Field(description=SPAN)

    @model_validator(mode="after")
    def _validate_growth(self) -> "GrowingRange":
        if not self.min_start_epoch < self.first_max_start_epoch < self.max_start_epoch:
            raise ValueError(
                "min_start_epoch, first_max_start_epoch and max_start_epoch must increase; else write kind: fixed"
            )
        return self

    @property
    def last_epoch(self) -> int:
        """The target of the last start."""
        return self.max_start_epoch - 1 + self.span_epochs

    @property
    def checkpoint_epochs(self) -> frozenset[int]:
        """Every start and its target."""
        return _start_and_end(range(self.min_start_epoch, self.max_start_epoch), self.span_epochs)

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """The range must reach its full length."""
        outer = context.method.outer
        if outer and self.growth_iterations > outer.iterations:
            problem = f"the range would still grow after the last of {outer.iterations} iterations"
            raise location.error("growth_iterations", problem, f"write at most {outer.iterations}")

    def build(self) -> "SegmentRule":
        """Uniform draws."""
        from dcpipe.distillation.segments import drawn_segments

        return partial(drawn_segments.growing, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A range inside tiny's epochs, grown by the third iteration."""
        tree = {"kind": "growing", "min_start_epoch": 0, "first_max_start_epoch": 1, "max_start_epoch": 2}
        tree |= {"growth_iterations": 3, "span_epochs": 2}
        return {"growing": Example(tree, changes=CHANGES)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContinuousTime(SegmentConfig):
    """Start times drawn uniformly from the real numbers 0 to max_start_epoch; needs a convex path (MCT)."""

    implementation = ("dcpipe.distillation.segments.drawn_segments",)
    between_epochs = True

    kind: Literal["continuous"]
    max_start_epoch: Count = Field(description="end of the start times, in epochs")
    span_epochs: Count = Field(description=SPAN)

    @property
    def last_epoch(self) -> int:
        """The target of the last start."""
        return self.max_start_epoch + self.span_epochs

    @property
    def checkpoint_epochs(self) -> frozenset[int]:
        """As of a fixed range."""
        return _start_and_end(range(self.max_start_epoch), self.span_epochs)

    def build(self) -> "SegmentRule":
        """Uniform draws."""
        from dcpipe.distillation.segments import drawn_segments

        return partial(drawn_segments.continuous, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Between epochs there is only a convex path."""
        tree = {"kind": "continuous", "max_start_epoch": 2, "span_epochs": 2}
        required_params = {"matching.path": {"kind": "convex", "waypoints": [2]}}
        return {"continuous": Example(tree, required_params, CHANGES)}
