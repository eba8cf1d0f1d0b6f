"""Rows of gradients: the knobs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_axes import GradientRowsConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.distillation.distances.gradient_rows import Rows


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OutputRows(GradientRowsConfig):
    """A row for each output of each layer; tensors of one dimension count nothing (DC's distance)."""

    implementation = ("dcpipe.distillation.distances.gradient_rows",)

    kind: Literal["outputs"]

    def build(self) -> "Rows":
        """Layer by layer."""
        from dcpipe.distillation.distances import gradient_rows

        return gradient_rows.rows_per_output

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"outputs": Example({"kind": "outputs"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WholeRow(GradientRowsConfig):
    """The whole gradient is one row, biases, scales and shifts with it (`cos` and `mse` of DC's public code)."""

    implementation = ("dcpipe.distillation.distances.gradient_rows",)

    kind: Literal["whole"]

    def build(self) -> "Rows":
        """All in one."""
        from dcpipe.distillation.distances import gradient_rows

        return gradient_rows.single_row

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"whole": Example({"kind": "whole"})}
