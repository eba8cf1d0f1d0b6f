"""Dynamics: what is measured along a distillation, by one measure for every method."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.outer_axes import DynamicsMeasureConfig
from dcpipe.params.schema import STRICT, Count, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.distillation.dynamics.measures import Dynamics
    from dcpipe.distillation.labels.label_rules import LabelRule
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoDynamics(DynamicsMeasureConfig):
    """Nothing beside what the method itself computes."""

    implementation = ("dcpipe.distillation.dynamics.measures",)

    kind: Literal["none"]

    def build(self, _setting: "Setting", _labels: "LabelRule") -> "Dynamics":
        """No measure."""
        from dcpipe.distillation.dynamics import measures

        return measures.no_dynamics

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExactDynamics(DynamicsMeasureConfig):
    """Loss, exact gradient and sharpness at every so many iterations, on the same draws each time; alters no update."""

    implementation = (
        "dcpipe.distillation.dynamics.measures",
        "dcpipe.distillation.hypergradient.exact",
    )

    kind: Literal["exact"]
    every: Count = Field(description="iterations from one measurement to the next, from iteration 0 on")
    draws: Count = Field(description="segments or batches that a measurement is the mean over, the same ones each time")
    radius: PositiveFloat = Field(description="length of the perturbation whose rise of the loss is the sharpness")

    def build(self, setting: "Setting", labels: "LabelRule") -> "Dynamics":
        """The measure of a job."""
        from dcpipe.distillation.dynamics import measures

        return measures.exact_dynamics(self, setting, labels)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """At every other iteration."""
        return {"exact": Example({"kind": "exact", "every": 2, "draws": 1, "radius": 0.1})}
