"""Kinds of hypergradients: how the matching loss is differentiated through the inner loop."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.distillation.hypergradient.kept_graphs_config import NoGraphs
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.network_name import has_running_statistics
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT
from dcpipe.params.shares import Share, steps_of
from dcpipe.params.trajectory_axes import AUTO_MICRO_BATCH_BYTES, HypergradientConfig, KeptGraphsConfig, MicroBatch
from dcpipe.params.work import InnerSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.hypergradient.hypergradient_problem import (
        Hypergradient,
        HypergradientProblem,
        InnerTraining,
    )
    from dcpipe.models.flat import FlatModel

GRAPH_SIZES = "dcpipe.distillation.hypergradient.graph_sizes"
KEPT_GRAPHS = "none, auto (2000 MB), all, or kind: budget with megabytes; faster, other rounding than none"
MICRO_BATCH = (
    "images that go through the network at once; auto: those whose graph fits in 500 MB; null: the whole batch"
)


class StepwiseHypergradient(HypergradientConfig):
    """What the kinds share that differentiate one inner step at a time."""

    micro_batch: MicroBatch
    kept_graphs: KeptGraphsConfig

    @property
    def micro_batch_setting(self) -> MicroBatch:
        """As it is written."""
        return self.micro_batch

    def micro_batch_images(
        self, inner: "InnerTraining", model: "FlatModel", image_shape: tuple[int, ...]
    ) -> int | None:
        """The number that is written, or the one that fits."""
        if self.micro_batch != "auto":
            return self.micro_batch
        if model.has_running_statistics:
            return None
        from dcpipe.distillation.hypergradient.graph_sizes import images_within

        return images_within(AUTO_MICRO_BATCH_BYTES, inner, model.num_parameters, image_shape)

    def facts(self, problem: "HypergradientProblem") -> Mapping[str, int]:
        """The images that go through the network at once, and those of the kept graphs."""
        largest = max((len(rows) for rows in problem.draws.batches), default=0)
        return {"micro_batch": min(problem.inner.micro_batch or largest, largest), **self.kept_graphs.facts(problem)}

    def estimate_work(self, inner: InnerSizes) -> Work:
        """With the graphs of steps that are differentiated."""
        return super().estimate_work(inner) + self.kept_graphs.estimate_work(
            replace(inner, steps=self.kept_steps(inner.steps))
        )

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """A number must cut something, and only networks whose images do not influence each other."""
        inner = context.method.matching.inner_loop
        if self.micro_batch is None or self.micro_batch == "auto" or inner is None:
            return
        batch = inner.batch or context.num_images
        if self.micro_batch >= batch:
            problem = f"a micro-batch of {self.micro_batch} has no effect: an inner step's batch has {batch} images"
            raise location.error("micro_batch", problem, "write null, or a smaller number")
        if context.network and has_running_statistics(context.network):
            influence = "the images of a batch influence each other, so a batch cannot be split"
            raise location.error("micro_batch", f"{context.network} has batch norm: {influence}", "write null")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Exact(StepwiseHypergradient):
    """The adjoint: the reference's gradient, in the memory of one step or of as many graphs as are kept."""

    implementation = ("dcpipe.distillation.hypergradient.exact", GRAPH_SIZES)

    kind: Literal["exact"]
    micro_batch: MicroBatch = Field(description=MICRO_BATCH)
    kept_graphs: Annotated[KeptGraphsConfig, NeutralDefault(NoGraphs(kind="none"))] = Field(description=KEPT_GRAPHS)

    def build(self, _inner_steps: int) -> "Hypergradient":
        """Through all steps."""
        return self.kept_graphs.build(through_parameters=True)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Whole batches."""
        return {"exact": Example({"kind": "exact", "micro_batch": None}, changes={"micro_batch": 3})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Unrolled(HypergradientConfig):
    """The reference: one graph through all inner steps."""

    implementation = ("dcpipe.distillation.hypergradient.unrolled",)

    kind: Literal["unrolled"]

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """It is never compiled."""
        if context.method.compute.backend == "compiled":
            problem = "has no effect on the unrolled hypergradient"
            raise location.error_at("compute.backend", problem, "write eager")

    def estimate_work(self, inner: InnerSizes) -> Work:
        """The passes of all steps are there at once."""
        every = inner.network.pullback_work(inner.steps * inner.images)
        return replace(every, held_bytes=2 * inner.steps * inner.network.bytes, calls=inner.steps * every.calls)

    def build(self, _inner_steps: int) -> "Hypergradient":
        """Through all steps."""
        from dcpipe.distillation.hypergradient import unrolled

        return unrolled.compute_hypergradient

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"unrolled": Example({"kind": "unrolled"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Truncated(StepwiseHypergradient):
    """The adjoint through the last inner steps alone (SATM keeps a third)."""

    implementation = ("dcpipe.distillation.hypergradient.truncated", GRAPH_SIZES)

    kind: Literal["truncated"]
    kept: Share = Field(description="share of the inner steps that is differentiated, rounded down")
    micro_batch: MicroBatch = Field(description=MICRO_BATCH)
    kept_graphs: Annotated[KeptGraphsConfig, NeutralDefault(NoGraphs(kind="none"))] = Field(description=KEPT_GRAPHS)

    @property
    def inner_step_fractions(self) -> tuple[str, ...]:
        """What is kept."""
        return (self.kept,)

    def kept_steps(self, inner_steps: int) -> int:
        """How many of so many inner steps are differentiated."""
        return steps_of(self.kept, inner_steps)

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """At least one step must be left, and as of every step-by-step kind."""
        inner = context.method.matching.inner_loop
        if inner is not None and self.kept_steps(inner.steps) == 0:
            problem = f"{self.kept} of {inner.steps} inner steps is less than one"
            raise location.error("kept", problem, f"write at least 1/{inner.steps}")
        super().check(location, context)

    def build(self, inner_steps: int) -> "Hypergradient":
        """Through the last steps."""
        from dcpipe.distillation.hypergradient import truncated

        through_all = self.kept_graphs.build(through_parameters=True)
        return truncated.truncated_hypergradient(self.kept_steps(inner_steps), through_all)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two of five steps."""
        changes = {"kept": "4/5", "micro_batch": 3}
        return {"truncated": Example({"kind": "truncated", "kept": "2/5", "micro_batch": None}, changes=changes)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PerStep(StepwiseHypergradient):
    """Each step's own derivative, without what it does to later ones (TESLA); right to first order in the step size."""

    implementation = ("dcpipe.distillation.hypergradient.per_step", GRAPH_SIZES)

    kind: Literal["per_step"]
    micro_batch: MicroBatch = Field(description=MICRO_BATCH)
    kept_graphs: Annotated[KeptGraphsConfig, NeutralDefault(NoGraphs(kind="none"))] = Field(description=KEPT_GRAPHS)

    def build(self, _inner_steps: int) -> "Hypergradient":
        """Step by step."""
        return self.kept_graphs.build(through_parameters=False)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Whole batches."""
        return {"per_step": Example({"kind": "per_step", "micro_batch": None}, changes={"micro_batch": 3})}
