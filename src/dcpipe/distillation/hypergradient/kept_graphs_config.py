"""Kept graphs: how much memory the graphs of inner steps may take, so that the walk backwards need not redo them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.models.analytic_networks import find_analytic_convnet
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.schema import STRICT, Count
from dcpipe.params.trajectory_axes import KeptGraphsConfig
from dcpipe.params.work import InnerSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.hypergradient.hypergradient_problem import Hypergradient, HypergradientProblem

MEGABYTE = 10**6
AUTO_MEGABYTES = 2000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoGraphs(KeptGraphsConfig):
    """None is kept: every step is run again on the way back, in the memory of one step."""

    implementation = ()

    kind: Literal["none"]

    def build(self, *, through_parameters: bool) -> "Hypergradient":
        """The adjoint, or TESLA's."""
        if through_parameters:
            from dcpipe.distillation.hypergradient import exact

            return exact.compute_hypergradient
        from dcpipe.distillation.hypergradient import per_step

        return per_step.compute_hypergradient

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


class LastStepGraphs(KeptGraphsConfig):
    """What the budgets share: the graphs of as many of the last steps as fit are kept. All give the same bits."""

    @property
    def budget_bytes(self) -> int | None:
        """What the kept graphs may take together; None: all that there are."""
        return None

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """A compiled step keeps something where the network has analytic derivatives, and else nothing."""
        network = context.network
        if context.method.compute.backend != "compiled" or network is None:
            return
        if find_analytic_convnet(network, context.facts.image_size) is None:
            problem = f"has no effect on compiled steps of {network}"
            raise location.error("kind", problem, "write none, or compute.backend: eager")

    def build(self, *, through_parameters: bool) -> "Hypergradient":
        """With kept graphs."""
        from dcpipe.distillation.hypergradient import kept_graphs

        return kept_graphs.budgeted_hypergradient(self.budget_bytes, through_parameters=through_parameters)

    def estimate_work(self, inner: InnerSizes) -> Work:
        """The graphs that fit, and a gradient less for each."""
        step = inner.network.graph_bytes(inner.images)
        kept = inner.steps if self.budget_bytes is None else min(inner.steps, int(self.budget_bytes // step))
        saved = inner.network.gradient_work(inner.images)
        return Work(held_bytes=kept * step, operations=-kept * saved.operations, calls=-kept * saved.calls)

    def facts(self, problem: "HypergradientProblem") -> Mapping[str, int]:
        """How many graphs are kept, and what they take as their shapes have it."""
        from dcpipe.distillation.hypergradient.graph_sizes import step_bytes
        from dcpipe.distillation.hypergradient.kept_graphs import kept_steps

        steps = kept_steps(problem, self.budget_bytes)
        return {"kept_graphs": steps, "kept_graph_bytes": steps * step_bytes(problem)}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoGraphs(LastStepGraphs):
    """As many as fit in 2,000 MB, on every machine."""

    implementation = ("dcpipe.distillation.hypergradient.kept_graphs",)

    kind: Literal["auto"]

    @property
    def budget_bytes(self) -> int | None:
        """A constant."""
        return AUTO_MEGABYTES * MEGABYTE

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"auto": Example({"kind": "auto"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AllGraphs(LastStepGraphs):
    """The graph of every step, however many there are."""

    implementation = ("dcpipe.distillation.hypergradient.kept_graphs",)

    kind: Literal["all"]

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"all": Example({"kind": "all"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphBudget(LastStepGraphs):
    """As many as fit in so much memory."""

    implementation = ("dcpipe.distillation.hypergradient.kept_graphs",)

    kind: Literal["budget"]
    megabytes: Count = Field(description="memory of the kept graphs together, in MB (10^6 bytes); alters no bit")

    @property
    def budget_bytes(self) -> int | None:
        """In bytes."""
        return self.megabytes * MEGABYTE

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Room for a few small steps."""
        return {"budget": Example({"kind": "budget", "megabytes": 10})}
