"""Shares of a student's inner steps, and the second pass that takes one."""

from fractions import Fraction as Ratio
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dcpipe.params.schema import STRICT

ALL_STEPS = "1/1"


def _check_share(text: str) -> str:
    top, _, bottom = text.partition("/")
    if int(top) > int(bottom):
        raise ValueError(f"a share of the inner steps is at most 1/1 (it is {text})")
    return text


Share = Annotated[str, Field(pattern=r"^[1-9][0-9]*/[1-9][0-9]*$"), AfterValidator(_check_share)]
"""A share of the inner steps, written as a fraction such as 1/3; 1/1 is all of them."""


def steps_of(share: str, steps: int) -> int:
    """How many of so many steps a share is, rounded down."""
    return int(Ratio(share) * steps)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SecondPass:
    """The evaluation at the perturbed set."""

    steps: Share = Field(description="share of the inner steps, the last ones; before them the first pass's student")
    draws: Literal["shared", "fresh"] = Field(description="the first pass's batches and augmentation, or its own")
