"""A method is a composition: a matching objective and one value on each axis (a params/methods file)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.compute import Compute
from dcpipe.params.schema import STRICT, Count, Fraction, Index, Name, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Coreset:
    """No matching: real images chosen as they are."""

    kind: Literal["none"]
    selection: Literal["random"]
    step_size: PositiveFloat  # what evaluation trains with when it asks for the set's own step size


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedRange:
    """Start epochs drawn uniformly from 0 .. max_start_epoch - 1 (exclusive, as in the MTT code)."""

    kind: Literal["fixed"]
    max_start_epoch: Count
    span_epochs: Count  # the target stands this many epochs after the start; "M", --expert_epochs


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Trajectory:
    """Students trained on the synthetic set shall end where the expert ends (MTT, arXiv:2203.11932)."""

    kind: Literal["trajectory"]
    experts: Name
    path: Literal["recorded"]
    segment: Annotated[FixedRange, Field()]
    start_noise: Annotated["NoNoise", Field()]
    inner_steps: Count  # "N", --syn_steps
    inner_batch: Count | None  # --batch_syn; null: the whole synthetic set
    hypergradient: Annotated["Exact | Unrolled", Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoNoise:
    """Students start at the expert's checkpoint."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exact:
    """The adjoint: the reference's gradient with the memory of one step (of one micro-batch, if given)."""

    kind: Literal["exact"]
    micro_batch: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Unrolled:
    """The reference: one graph through all inner steps."""

    kind: Literal["unrolled"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Images:
    """The synthetic images and their optimiser (SGD)."""

    initial: Literal["real", "noise"]
    learning_rate: PositiveFloat  # --lr_img
    momentum: Fraction


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LearnedStepSize:
    """The student's learning rate, learned as a raw scalar by its exact derivative (SGD)."""

    kind: Literal["learned"]
    initial: PositiveFloat  # --lr_teacher
    learning_rate: PositiveFloat  # --lr_lr
    momentum: Fraction


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedStepSize:
    """The student's learning rate, kept."""

    kind: Literal["fixed"]
    initial: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Outer:
    """The loop over image updates."""

    iterations: Count
    snapshot_every: Count  # a copy of the set is kept at every so many iterations, for selection
    images: Images
    step_size: Annotated[LearnedStepSize | FixedStepSize, Field(discriminator="kind")]
    labels: Literal["hard"]
    sharpness: Literal["none"]
    averaging: Literal["none"]
    coordinates: Literal["all"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Method:
    """A preset as resolved for one dataset and ipc. `outer` is null exactly when nothing is matched."""

    description: str
    label: str
    seed: Index
    matching: Annotated[Coreset | Trajectory, Field(discriminator="kind")]
    outer: Outer | None
    compute: Compute

    @model_validator(mode="after")
    def _has_an_outer_loop_iff_it_matches(self) -> "Method":
        if (self.matching.kind == "none") != (self.outer is None):
            raise ValueError("outer must be null for a coreset, and given for every other matching")
        return self

    @property
    def experts(self) -> str | None:
        """The experts file it imitates, if any."""
        return self.matching.experts if isinstance(self.matching, Trajectory) else None
