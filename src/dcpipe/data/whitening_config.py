"""Whitening: none, or ZCA."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.params.axis import Example
from dcpipe.params.dataset import WhiteningConfig
from dcpipe.params.schema import STRICT, PositiveFloat, ThreadCount

if TYPE_CHECKING:
    from dcpipe.data.whitening import Fit


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoWhitening(WhiteningConfig):
    """Images are standardised."""

    implementation = ()  # nothing is fitted

    kind: Literal["none"]

    def build(self) -> "Fit":
        """Raises: UserError, for there is nothing to fit."""
        raise UserError("there is no whitening to fit", where="whitening.kind: none", remedy="write zca")

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Zca(WhiteningConfig):
    """Images are whitened by ZCA with T = U (s + eps)^-1/2 U^T, fitted on train in float64."""

    implementation = ("dcpipe.data.whitening",)

    kind: Literal["zca"]
    eps: PositiveFloat = Field(description="added to each variance s")
    threads: ThreadCount = Field(description="numeric threads of the fit; other numbers give other last bits")

    @property
    def fit_threads(self) -> int | None:
        """The threads."""
        return self.threads

    def build(self) -> "Fit":
        """ZCA."""
        from dcpipe.data import whitening

        return partial(whitening.fit_zca, eps=self.eps)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Kornia's default regularisation."""
        return {"zca": Example({"kind": "zca", "eps": 0.1, "threads": 1})}
