"""The plan of the experts stage: one shard of expert trajectories, trained here or imported."""

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
from dcpipe.experts.pass_config import pass_modules
from dcpipe.params import check, network_name
from dcpipe.params.axis import implementation_modules
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import CLASSIFIED_AFTER_AN_EPOCH, Experts
from dcpipe.params.values import native_network_values, tracked_values
from dcpipe.params.work import Work
from dcpipe.workflow.stages import DATASET, EXPERTS, SHARD, Payload, Plan, Resources, Stage, register_stage

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job


@register_stage
class ExpertsStage(Stage):
    """Reads training images; imported experts must fit them."""

    name = "experts"
    label = "experts_{dataset}_{experts}_shard{shard}"
    folder = "artifacts/experts/{dataset}/{experts}/shard{shard}"
    payloads = (Payload("trajectory", "trajectory.zarr", is_folder=True),)
    wildcards = (DATASET, EXPERTS, SHARD)
    implementation = "dcpipe.experts.experts_stage"
    command = "dcpipe experts {dataset} {experts} --shard {shard}"
    reads = ("data", "whiten")
    numeric = True
    resources = Resources(mem_mb=2000, runtime=240, gpu=1)

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The network is the dataset's own where the experts say `native`."""
        resolved_dataset, dataset = graph.library.dataset(wildcards["dataset"])
        resolved, experts = graph.library.experts(wildcards["experts"], wildcards["dataset"])
        check.experts(resolved, experts, dataset.facts, int(wildcards["shard"]))
        network = dataset.network if experts.network == "native" else experts.network
        return Plan(
            inputs=image_inputs(graph, wildcards["dataset"]),
            values=[
                tracked_values(resolved, without=("description", "count")),
                native_network_values(resolved_dataset, experts.network),
            ],
            roots=(*implementation_modules(experts), *pass_modules(experts.compute), network_name.module_of(network)),
            sections={"experts": experts, "network": network, "facts": dataset.facts},
            resources=self.resources_with_threads(experts.compute.threads),
        )

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """Every kept checkpoint of the shard in float32."""
        network = network_size(graph, job.wildcards["dataset"], job.section("network", str))
        return job.section("experts", Experts).shard_experts * num_kept_checkpoints(job) * network.bytes

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """Images, a step's passes, what is classified after each epoch, and what is kept of all experts."""
        dataset, config = job.wildcards["dataset"], job.section("experts", Experts)
        network, images = network_size(graph, dataset, job.section("network", str)), num_train_images(graph, dataset)
        validating = num_validation_images(graph, dataset)
        checkpoints = (config.shard_experts + 2) * num_kept_checkpoints(job) + 8
        kept = Work(held_bytes=checkpoints * network.bytes)
        if config.origin.is_foreign:
            return kept
        batch = min(config.batch, images)
        epochs = config.shard_experts * config.epochs
        steps = network.gradient_work(batch).times(epochs * config.sharpness.passes * images / batch)
        classified = classifying_work(network, min(CLASSIFIED_AFTER_AN_EPOCH, validating or images)).times(epochs)
        return loading_work(graph, dataset, images, validating) + kept + steps + classified


def num_kept_checkpoints(job: "Job") -> int:
    """How many checkpoints of each expert a job keeps."""
    experts = job.section("experts", Experts)
    return len(tuple(kept_epochs(experts.kept_epochs, experts.epochs)))
