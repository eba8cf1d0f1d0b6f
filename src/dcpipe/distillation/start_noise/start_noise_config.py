"""Start noise: where beside an expert's checkpoint a student starts."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.schema import STRICT, NonNegativeFloat
from dcpipe.params.trajectory_axes import StartNoiseConfig

if TYPE_CHECKING:
    from dcpipe.distillation.start_noise.student_starts import StartRule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoNoise(StartNoiseConfig):
    """Students start at the expert's checkpoint."""

    implementation = ("dcpipe.distillation.start_noise.student_starts",)

    kind: Literal["none"]

    def build(self) -> "StartRule":
        """At the checkpoint."""
        from dcpipe.distillation.start_noise import student_starts

        return student_starts.at_checkpoint

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GaussianNoise(StartNoiseConfig):
    """Students start beside it (FTD, equation 9).

    `displacement` compares how far student and expert moved, so that the noise need not be undone; `endpoint`
    compares where they ended.
    """

    implementation = ("dcpipe.distillation.start_noise.student_starts",)

    kind: Literal["gaussian"]
    sigma: NonNegativeFloat = Field(description="deviation, in units of the checkpoint's root mean square")
    objective: Literal["displacement", "endpoint"] = Field(description="what of student and expert is compared")

    def build(self) -> "StartRule":
        """Beside the checkpoint."""
        from dcpipe.distillation.start_noise import student_starts

        return partial(student_starts.beside_checkpoint, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A little noise."""
        return {"gaussian": Example({"kind": "gaussian", "sigma": 0.01, "objective": "displacement"})}
