"""Smoothed labels: the knobs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.outer_axes import LabelsConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.distillation.labels.label_rules import LabelRule
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmoothedLabels(LabelsConfig):
    """The class, with some of its probability spread over all classes (arXiv:1512.00567, section 7); never learned."""

    implementation = ("dcpipe.distillation.labels.smoothed",)

    kind: Literal["smoothed"]
    smoothing: Annotated[float, Field(gt=0, lt=1)] = Field(description="probability that all classes share evenly")

    def build(self, setting: "Setting") -> "LabelRule":
        """The labels of a job."""
        from dcpipe.distillation.labels.smoothed import Smoothed

        return Smoothed(setting.train.classes, self.smoothing)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The usual amount."""
        return {"smoothed": Example({"kind": "smoothed", "smoothing": 0.1})}
