"""A protocol: how networks are trained on a synthetic set and how their accuracy becomes a number."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.augmentation import Augmentation
from dcpipe.params.compute import Compute
from dcpipe.params.experts import Gsam, NoSharpness
from dcpipe.params.schema import STRICT, Count, Fraction, Index, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OwnRate:
    """The step size that the set was distilled with (a coreset carries one of its preset)."""

    kind: Literal["own"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedRate:
    """One learning rate for every set."""

    kind: Literal["fixed"]
    value: PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SearchedRate:
    """For every set the one of `values` that does best on the validation part; the smallest of equals."""

    kind: Literal["searched"]
    values: Annotated[list[PositiveFloat], Field(min_length=2)]

    @field_validator("values")
    @classmethod
    def _ascend(cls, values: list[float]) -> list[float]:
        if any(after <= before for before, after in pairwise(values)):
            raise ValueError("rates must ascend")
        return values


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluation:
    """A params/evaluations file.

    `epochs` is E of the published protocols: E + 1 passes are made, and after pass E // 2 + 1 the rate is
    multiplied by `decay` and the optimiser made anew (its momentum starts from zero).
    `selection`: `last` is the finished set; `val-best` the snapshot that does best on the validation part;
    `legacy-max` the one that does best on test, which is selection on test data and is named so; `curve` is `last`,
    with the test accuracy of every snapshot beside it for the report.
    `side_by_side` networks are trained at once, which alters sums by rounding.
    """

    description: str
    seed: Index
    networks: Count  # fresh networks trained on each set
    side_by_side: Count  # of these at once; 1: one after the other
    epochs: Index
    batch: Count
    learning_rate: Annotated[OwnRate | FixedRate | SearchedRate, Field(discriminator="kind")]
    augmentation: Augmentation  # DSA families of every batch, or none
    sharpness: Annotated[NoSharpness | Gsam, Field(discriminator="kind")]  # of the networks' training
    decay: Fraction
    momentum: Fraction
    weight_decay: NonNegativeFloat
    selection: Literal["last", "curve", "val-best", "legacy-max"]
    compute: Compute
