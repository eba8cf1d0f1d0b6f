"""Network training: how a network is trained on the synthetic set between updates of the images."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_axes import TrainingConfig
from dcpipe.params.schema import STRICT, Count, Fraction

if TYPE_CHECKING:
    from dcpipe.distillation.training.stopping_rules import StoppingRule

Window = Annotated[int, Field(ge=2)]
BATCH = "synthetic images per step; --batch_train"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoTraining(TrainingConfig):
    """The network stays as it was drawn."""

    implementation = ("dcpipe.distillation.training.stopping_rules",)

    kind: Literal["none"]

    def build(self) -> "StoppingRule":
        """It ends before it begins."""
        from dcpipe.distillation.training import stopping_rules

        return partial(stopping_rules.after_epochs, 0)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


class TrainingInBatches(TrainingConfig):
    """What all kinds share that train."""

    batch: int

    @property
    def images_per_step(self) -> int | None:
        """The batch."""
        return self.batch


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedEpochs(TrainingInBatches):
    """So many epochs over the synthetic set after every update of the images but the last."""

    implementation = ("dcpipe.distillation.training.stopping_rules",)

    kind: Literal["epochs"]
    count: Count = Field(description="epochs; Z, inner_loop in the DC code")
    batch: Count = Field(description=BATCH)

    @property
    def max_epochs(self) -> int:
        """Their number."""
        return self.count

    def build(self) -> "StoppingRule":
        """By their number."""
        from dcpipe.distillation.training import stopping_rules

        return partial(stopping_rules.after_epochs, self.count)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A few."""
        return {"epochs": Example({"kind": "epochs", "count": 4, "batch": 3})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EpochSchedule(TrainingInBatches):
    """As `epochs`, with a number of its own for each update; the last one serves all that follow."""

    implementation = ("dcpipe.distillation.training.stopping_rules",)

    kind: Literal["schedule"]
    counts: Annotated[list[Count], Field(min_length=1)] = Field(description="epochs after each update; zeta(t)")
    batch: Count = Field(description=BATCH)

    @property
    def max_epochs(self) -> int:
        """The most after any update."""
        return max(self.counts)

    def build(self) -> "StoppingRule":
        """By their number."""
        from dcpipe.distillation.training import stopping_rules

        return partial(stopping_rules.by_schedule, tuple(self.counts))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Four, then one."""
        tree = {"kind": "schedule", "counts": [4, 1], "batch": 3}
        return {"schedule": Example(tree, changes={"counts": [1, 3]})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UntilOverfit(TrainingInBatches):
    """Epochs until the loss on a fixed batch of real images is larger after one than before it."""

    implementation = ("dcpipe.distillation.training.stopping_rules",)

    kind: Literal["until-overfit"]
    real_batch: Count = Field(description="real images per class that the loss is measured on")
    at_most: Count = Field(description="epochs")
    batch: Count = Field(description=BATCH)

    @property
    def max_epochs(self) -> int:
        """The bound."""
        return self.at_most

    def build(self) -> "StoppingRule":
        """By loss."""
        from dcpipe.distillation.training import stopping_rules

        return partial(stopping_rules.when_overfit, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Four at most."""
        tree = {"kind": "until-overfit", "real_batch": 2, "at_most": 4, "batch": 3}
        return {"until-overfit": Example(tree, changes={"at_most": 1, "real_batch": 3})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UntilAccuracyMoves(TrainingInBatches):
    """Epochs until the network's accuracy on real images, measured after every one, has moved (CAFE)."""

    implementation = ("dcpipe.distillation.training.stopping_rules",)

    kind: Literal["until-moved"]
    window: Window = Field(description="measurements that are compared")
    range: Fraction = Field(description="they differ by more than this when it has moved; lambda_2")
    real_batch: Count = Field(description="real images per class, drawn anew for each measurement")
    at_most: Count = Field(description="epochs")
    batch: Count = Field(description=BATCH)

    @property
    def max_epochs(self) -> int:
        """The bound."""
        return self.at_most

    def build(self) -> "StoppingRule":
        """By accuracy."""
        from dcpipe.distillation.training import stopping_rules

        return partial(stopping_rules.when_accuracy_moves, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Four at most."""
        tree = {"kind": "until-moved", "window": 2, "range": 0.9, "real_batch": 2, "at_most": 4, "batch": 3}
        return {"until-moved": Example(tree, changes={"at_most": 1})}
