"""The plan of the distill stage: one synthetic set."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dcpipe.data.data_plan import dataset_facts, refuse_small_class, values_per_image
from dcpipe.data.loading_plan import loading_work, network_size, num_train_images
from dcpipe.data.whiten_plan import image_inputs
from dcpipe.models.analytic_networks import stored_numbers_per_image
from dcpipe.params import check, network_name
from dcpipe.params.axis import implementation_modules
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method
from dcpipe.params.method_axes import MatchingConfig, MethodContext
from dcpipe.params.values import native_network_values, tracked_values
from dcpipe.params.work import NetworkSize, SetSizes, Work
from dcpipe.workflow.stages import (
    DATASET,
    IPC,
    METHOD,
    SET,
    Payload,
    Plan,
    ReportEntry,
    Resources,
    Stage,
    register_stage,
)

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

COMPILER_BYTES = 4e8  # of a process that compiles

PREVIEW = ReportEntry(
    "preview.rst",
    category="Synthetic sets",
    subcategory="{dataset}",
    labels={"method": "{method}", "ipc": "{ipc}", "set": "{set}"},
)


@register_stage
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

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The modules are those of the method's values, and of the network that it trains or matches."""
        dataset, ipc = wildcards["dataset"], int(wildcards["ipc"])
        resolved, method = graph.library.method(wildcards["method"], dataset, ipc)
        data = graph.library.dataset(dataset)[1]
        images = image_inputs(graph, dataset)  # and with them the dataset's own checks
        context = MethodContext(resolved, method, data, data.facts, ipc, None)
        below = self._plan_dependencies(graph, dataset, context)
        refuse_small_class(graph, dataset, ipc, resolved.file)
        return Plan(
            inputs={**images, **below.inputs},
            values=[tracked_values(resolved, without=("description", "label")), *below.values],
            roots=(*implementation_modules(method), *below.roots),
            sections={"method": method, **below.sections},
            resources=self.resources_with_threads(method.compute.threads)
            if method.outer
            else Resources(runtime=self.resources.runtime),
        )

    def _plan_dependencies(self, graph: "Graph", dataset: str, context: MethodContext) -> Plan:
        """What a method needs of its experts, or of the network that it draws or trains, after checking it."""
        matching, resolved_dataset = context.method.matching, graph.library.dataset(dataset)[0]
        if matching.experts_name:
            resolved, experts = graph.library.experts(matching.experts_name, dataset)
            shard = graph.make_job("experts", dataset=dataset, experts=matching.experts_name, shard=0)
            network = shard.section("network", str)
            # before the stores that a refused path would ask for
            check.method(replace(context, network=network, experts=experts, resolved_experts=resolved))
            inputs = {"trajectories": _trajectories(graph, dataset, matching, experts)}
            values = [
                tracked_values(resolved, only=("network",)),
                native_network_values(resolved_dataset, experts.network),
            ]
        elif matching.network_name:
            network = context.dataset.network if matching.network_name == "native" else matching.network_name
            check.method(replace(context, network=network))
            inputs, values = {}, [native_network_values(resolved_dataset, matching.network_name)]
        else:
            check.method(context)
            return Plan()
        return Plan(inputs, values, roots=(network_name.module_of(network),), sections={"network": network})

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """The set, each snapshot, and the preview, as if all were float32."""
        outer, facts = job.section("method", Method).outer, dataset_facts(graph, job)
        copies = 2 + (outer.iterations // outer.snapshot_every + 1 if outer else 1)
        return copies * facts.classes * int(job.wildcards["ipc"]) * values_per_image(facts) * 4

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """The training images, the set with its optimisers and snapshots, and what the matching says of itself."""
        method, dataset = job.section("method", Method), job.wildcards["dataset"]
        facts, images, ipc = dataset_facts(graph, job), num_train_images(graph, dataset), int(job.wildcards["ipc"])
        name = job.sections.get("network")
        network = _for_kept_graphs(network_size(graph, dataset, str(name)), str(name), facts) if name else None
        sizes = SetSizes(
            network, facts.classes, ipc, values_per_image(facts), images // facts.classes, _count_experts(graph, job)
        )
        outer, matching = method.outer, method.matching
        inner = matching.inner_loop
        rounds = outer.iterations * outer.sharpness.passes_per_update(inner.steps if inner else 0) if outer else 1.0
        copies = 8 + (3 * (outer.iterations // outer.snapshot_every + 1) if outer else 0)
        compiled = Work(held_bytes=COMPILER_BYTES if method.compute.backend == "compiled" else 0)
        held = Work(held_bytes=copies * sizes.bytes) + compiled
        return loading_work(graph, dataset, images) + held + matching.estimate_work(sizes).times(rounds)


def _for_kept_graphs(network: NetworkSize, name: str, facts: DatasetFacts) -> NetworkSize:
    shape = {"channels": facts.channels, "image_size": facts.image_size, "classes": facts.classes}
    statistics = network_name.has_running_statistics(name)
    return replace(network, kept=stored_numbers_per_image(name, **shape), has_running_statistics=statistics)


def _count_experts(graph: "Graph", job: "Job") -> int:
    """How many experts a job reads."""
    experts = 0
    for path in job.inputs.get("trajectories", ()):
        made = graph.job_that_makes(path)
        recorded = graph.job_that_makes(made.input("trajectory")) if "trajectory" in made.inputs else made
        experts += recorded.section("experts", Experts).shard_experts
    return experts


def _trajectories(graph: "Graph", dataset: str, matching: MatchingConfig, experts: Experts) -> tuple[str, ...]:
    """The stores that a method reads: recorded ones, or the convex ones made of them."""
    wildcards: dict[str, str | int] = {"dataset": dataset, "experts": str(matching.experts_name)}
    convex, read = matching.convex_path_name, matching.num_experts_read or experts.count
    shards = range(-(-read // experts.shard_experts))
    if convex is not None:
        jobs = [graph.make_job("convexify", **wildcards, waypoints=convex, shard=shard) for shard in shards]
        return tuple(job.outputs["path"] for job in jobs)
    return tuple(graph.make_job("experts", **wildcards, shard=shard).outputs["trajectory"] for shard in shards)
