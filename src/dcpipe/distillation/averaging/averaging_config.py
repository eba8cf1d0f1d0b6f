"""Averaging: what of all iterations' images the result is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.outer_axes import AveragingConfig
from dcpipe.params.schema import STRICT, Count, Fraction

if TYPE_CHECKING:
    from dcpipe.distillation.averaging.averages import Average


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoAveraging(AveragingConfig):
    """The last images are the result."""

    implementation = ("dcpipe.distillation.averaging.averages",)
    is_average = False

    kind: Literal["none"]

    def build(self, _iterations: int) -> "Average":
        """The images as they are."""
        from dcpipe.distillation.averaging import averages

        return averages.latest_images

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ema(AveragingConfig):
    """The result is the running mean E <- d E + (1 - d) S of the images, starting at the initial ones (FTD).

    A run of other length than `of_iterations` uses the d with d^iterations = decay^of_iterations, so that the initial
    images keep the same weight.
    """

    implementation = ("dcpipe.distillation.averaging.averages",)

    kind: Literal["ema"]
    decay: Fraction = Field(description="decay per iteration in a run of the published length")
    of_iterations: Count = Field(description="the published length")
    keep_unaveraged: Annotated[bool, NeutralDefault(False)] = Field(
        description="true: the images before averaging are kept beside the average, for protocols that test both"
    )

    @property
    def keeps_unaveraged(self) -> bool:
        """As the knob says."""
        return self.keep_unaveraged

    def build(self, iterations: int) -> "Average":
        """The running mean."""
        from dcpipe.distillation.averaging import averages

        return averages.running_mean(averages.scaled_decay(self, iterations))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A decay that forgets."""
        tree = {"kind": "ema", "decay": 0.9, "of_iterations": 3}
        return {"ema": Example(tree, changes={"decay": 0.5})}
