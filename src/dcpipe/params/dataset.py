"""A dataset: where the images come from, how they are split and standardised, which network goes with it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.models import names
from dcpipe.params.schema import STRICT, Count, FiniteFloat, Index, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DigitsSource:
    """1,797 handwritten digits, 8x8 grey, from UCI's optical recognition set; they come with scikit-learn."""

    kind: Literal["digits"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """Which images are for what. Sources without a split of their own give `test_per_class` images to test.

    `validation_per_class` images a class are cut from the training part (0: none, as in the papers);
    `train_per_class` keeps only so many of the rest, stratified (null: all). All by the named seed.
    """

    seed: Index
    test_per_class: Count
    validation_per_class: Index
    train_per_class: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FromTrain:
    """Mean and standard deviation a channel, measured on the training images."""

    kind: Literal["from-train"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constants:
    """Published mean and standard deviation a channel, in units of [0, 1] pixels."""

    kind: Literal["constants"]
    mean: list[FiniteFloat]
    std: list[PositiveFloat]


Source = Annotated[DigitsSource, Field()]
Standardise = Annotated[FromTrain | Constants, Field(discriminator="kind")]


def check_network(name: str) -> str:
    """A network name in its one spelling; `native` stands for the dataset's own."""
    if name != "native":
        try:
            names.parse(name)
        except UserError as error:
            raise ValueError(str(error)) from error
    return name


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dataset:
    """A params/datasets file."""

    description: str
    source: Source
    split: Split
    standardise: Standardise
    network: str

    @field_validator("network")
    @classmethod
    def _network(cls, name: str) -> str:
        if name == "native":
            raise ValueError("a dataset must name its network")
        return check_network(name)
