"""Standardisation: by the training images, by published constants, or not at all."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.dataset import DatasetContext, StandardiseConfig
from dcpipe.params.schema import STRICT, FiniteFloat, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.data.store import Moments, Standardisation


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingStatistics(StandardiseConfig):
    """Mean and standard deviation per channel, measured on the training images."""

    implementation = ("dcpipe.data.store",)

    kind: Literal["from-train"]

    def build(self, train: "Moments") -> "Standardisation":
        """The training images' own."""
        return train.standardisation()

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"from-train": Example({"kind": "from-train"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RawPixels(StandardiseConfig):
    """Pixels in [0, 1] as they are; for datasets that are whitened instead."""

    implementation = ("dcpipe.data.store",)

    kind: Literal["none"]

    def build(self, train: "Moments") -> "Standardisation":
        """Mean 0 and deviation 1."""
        from dcpipe.data.store import Standardisation

        channels = len(train.standardisation().mean_C)
        return Standardisation((0.0,) * channels, (1.0,) * channels)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GivenConstants(StandardiseConfig):
    """Published mean and standard deviation per channel, in units of [0, 1] pixels."""

    implementation = ("dcpipe.data.store",)

    kind: Literal["constants"]
    mean: list[FiniteFloat] = Field(description="mean of each channel")
    std: list[PositiveFloat] = Field(description="standard deviation of each channel")

    def check(self, location: ValueLocation, context: DatasetContext) -> None:
        """One number per channel."""
        channels = context.facts.channels
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                values_text = f"{len(values)} {'value' if len(values) == 1 else 'values'}"
                channels_text = f"{channels} {'channel' if channels == 1 else 'channels'}"
                raise location.error(
                    key,
                    f"has {values_text}; images have {channels_text}",
                    "write one value per channel, or kind: from-train",
                )

    def build(self, _train: "Moments") -> "Standardisation":
        """The constants."""
        from dcpipe.data.store import Standardisation

        return Standardisation(tuple(self.mean), tuple(self.std))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """For one channel."""
        return {"constants": Example({"kind": "constants", "mean": [0.3], "std": [0.4]})}
