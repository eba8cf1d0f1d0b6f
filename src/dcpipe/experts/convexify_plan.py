"""The plan of the convexify stage: one shard of convex paths through recorded trajectories."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcpipe.data.loading_plan import (
    classifying_work,
    loading_work,
    network_size,
    num_train_images,
    num_validation_images,
)
from dcpipe.data.whiten_plan import image_inputs
from dcpipe.experts.experts_plan import num_kept_checkpoints
from dcpipe.params import check, network_name
from dcpipe.params.experts import CLASSIFIED_AT_A_POINT, Experts
from dcpipe.params.values import native_network_values, tracked_values
from dcpipe.params.waypoints import Waypoints
from dcpipe.params.work import Work
from dcpipe.workflow.stages import DATASET, EXPERTS, SHARD, STAGES, WAYPOINTS, Payload, Plan, Stage, register_stage

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job


@register_stage
class ConvexifyStage(Stage):
    """Reads recorded trajectories, and images to say how well the points of a path do."""

    name = "convexify"
    label = "convexify_{dataset}_{experts}_{waypoints}_shard{shard}"
    folder = "artifacts/convex/{dataset}/{experts}/{waypoints}/shard{shard}"
    payloads = (Payload("path", "path.zarr", is_folder=True), Payload("accuracies", "accuracies.csv"))
    wildcards = (DATASET, EXPERTS, WAYPOINTS, SHARD)
    implementation = "dcpipe.experts.convexify_stage"
    command = "dcpipe convexify {dataset} {experts} --waypoints {waypoints} --shard {shard}"
    reads = ("data", "whiten", "experts")
    numeric = True

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The network is that of the experts."""
        dataset, name = wildcards["dataset"], wildcards["experts"]
        resolved, experts = graph.library.experts(name, dataset)
        check.refuse_bad_waypoints(resolved, experts, wildcards["waypoints"])
        made = graph.make_job("experts", dataset=dataset, experts=name, shard=wildcards["shard"])
        network = made.section("network", str)
        return Plan(
            inputs={"trajectory": (made.outputs["trajectory"],), **image_inputs(graph, dataset)},
            values=[
                tracked_values(resolved, only=("store",)),
                native_network_values(graph.library.dataset(dataset)[0], experts.network),
            ],
            roots=(network_name.module_of(network),),
            sections={"store": experts.store, "network": network},
        )

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """Both ends and the waypoints."""
        made = graph.job_that_makes(job.input("trajectory"))
        return _num_anchors(job) * STAGES[made.stage].disk_bytes(graph, made) // num_kept_checkpoints(made)

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """The anchors of a shard as they are read and written, and a thousand images classified at every epoch."""
        dataset, network = job.wildcards["dataset"], job.section("network", str)
        made = graph.job_that_makes(job.input("trajectory")).section("experts", Experts)
        images = num_validation_images(graph, dataset) or num_train_images(graph, dataset)
        size = network_size(graph, dataset, network)
        points = classifying_work(size, min(CLASSIFIED_AT_A_POINT, images)).times(
            made.shard_experts * (made.epochs + 1)
        )
        anchors = Work(held_bytes=(3 * made.shard_experts * _num_anchors(job) + 4) * size.bytes)
        return loading_work(graph, dataset, images) + anchors + points


def _num_anchors(job: "Job") -> int:
    return Waypoints.parse(job.wildcards["waypoints"]).num_anchors
