"""The plan of the distill stage: one synthetic set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dcpipe.data.data_plan import facts_of, pixels
from dcpipe.data.whiten_plan import image_inputs
from dcpipe.distillation import composition
from dcpipe.models import names
from dcpipe.params import check, check_episode, check_labels
from dcpipe.params.method import Method
from dcpipe.params.trajectory import ConvexPath, Trajectory
from dcpipe.params.values import Values, keys, native
from dcpipe.workflow.stages import DATASET, IPC, METHOD, SET, Payload, Plan, Resources, Shown, Stage, register

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

PREVIEW = Shown(
    "preview.rst",
    category="Synthetic sets",
    subcategory="{dataset}",
    labels={"method": "{method}", "ipc": "{ipc}", "set": "{set}"},
)


@register
class DistillStage(Stage):
    """Reads training images, and the trajectories of experts where the method matches them."""

    name = "distill"
    label = "distill_{dataset}_{method}_ipc{ipc}_set{set}"
    folder = "artifacts/synthetic/{dataset}/{method}/ipc{ipc}/set{set}"
    payloads = (
        Payload("synthetic", "synthetic.safetensors"),
        Payload("snapshots", "snapshots.safetensors"),
        Payload("history", "history.csv", plot=("iteration", "loss")),
        Payload("preview", "preview.png", shown=PREVIEW),
    )
    wildcards = (DATASET, METHOD, IPC, SET)
    implementation = "dcpipe.distillation.distill_stage"
    command = "dcpipe distill {dataset} {method} --ipc {ipc} --set {set}"
    reads = ("data", "whiten", "experts", "convexify")
    numeric = True
    resources = Resources(mem_mb=2000, runtime=720, gpu=1)

    def plan(self, graph: "Graph", words: Mapping[str, str]) -> Plan:
        """The modules are those of the method's composition, and of the network that it trains or matches."""
        dataset, ipc = words["dataset"], int(words["ipc"])
        resolved, method = graph.library.method(words["method"], dataset, ipc)
        check.method(resolved, method, graph.library.dataset(dataset)[1], ipc)
        below = self._with_experts(graph, words, method) if method.experts else self._with_network(graph, words, method)
        return Plan(
            inputs={**image_inputs(graph, dataset), **below.inputs},
            values=[keys(resolved, without=("description", "label")), *below.values],
            roots=(*composition.modules(method), *below.roots),
            sections={"method": method, **below.sections},
            resources=replace(self.asking(method.compute.threads), gpu=1 if method.outer else 0),
        )

    def _with_experts(self, graph: "Graph", words: Mapping[str, str], method: Method) -> Plan:
        """What a method needs of its experts."""
        dataset, name = words["dataset"], str(method.experts)
        resolved, _ = graph.library.method(words["method"], dataset, int(words["ipc"]))
        resolved_experts, experts = graph.library.experts(name, dataset)
        check.segments(resolved, method, resolved_experts, experts)
        trajectories = _trajectories(graph, dataset, method, experts.shards)
        network = graph.job("experts", dataset=dataset, experts=name, shard=0).section("network", str)
        check.batch_norm(resolved, method, network, experts)
        check_labels.experts(resolved, method, network, experts)
        own, given = keys(resolved_experts, only=("network",)), graph.library.dataset(dataset)[0]
        return Plan(
            inputs={"trajectories": trajectories},
            values=[own, native(given, experts.network)],
            roots=(names.module_of(network),),
            sections={"network": network},
        )

    def _with_network(self, graph: "Graph", words: Mapping[str, str], method: Method) -> Plan:
        """What a method without experts needs of the network that it draws or trains, if it has one."""
        if not method.network:
            return Plan()
        resolved, _ = graph.library.method(words["method"], words["dataset"], int(words["ipc"]))
        resolved_dataset, dataset = graph.library.dataset(words["dataset"])
        check_episode.method(resolved, method, dataset)
        network = dataset.network if method.network == "native" else method.network
        values: list[Values] = [native(resolved_dataset, method.network)]
        return Plan(values=values, roots=(names.module_of(network),), sections={"network": network})

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """The set, each snapshot, and the preview, as if all were float32."""
        outer, facts = job.section("method", Method).outer, facts_of(graph, job)
        copies = 2 + (outer.iterations // outer.snapshot_every + 1 if outer else 1)
        return copies * facts.classes * int(job.wildcards["ipc"]) * pixels(facts) * 4


def _trajectories(graph: "Graph", dataset: str, method: Method, shards: int) -> tuple[str, ...]:
    """The stores that a method reads: recorded ones, or the convex ones made of them."""
    words: dict[str, str | int] = {"dataset": dataset, "experts": str(method.experts)}
    path = method.matching.path if isinstance(method.matching, Trajectory) else None
    if isinstance(path, ConvexPath):
        jobs = [graph.job("convexify", **words, waypoints=path.name, shard=shard) for shard in range(shards)]
        return tuple(job.outputs["path"] for job in jobs)
    return tuple(graph.job("experts", **words, shard=shard).outputs["trajectory"] for shard in range(shards))
