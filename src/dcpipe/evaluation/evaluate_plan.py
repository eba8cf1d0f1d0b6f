"""The plan of the evaluate stage: the scores of one synthetic set under one protocol with one network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcpipe.data.data_plan import dataset_facts, values_per_image
from dcpipe.data.loading_plan import (
    classifying_work,
    loading_work,
    network_size,
    num_test_images,
    num_train_images,
    num_validation_images,
)
from dcpipe.data.whiten_plan import image_inputs
from dcpipe.errors import UserError
from dcpipe.experts.pass_config import pass_modules
from dcpipe.params import check, network_name
from dcpipe.params.axis import implementation_modules
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.params.values import native_network_values, tracked_values
from dcpipe.params.work import FLOAT_BYTES, Work
from dcpipe.workflow.stages import (
    DATASET,
    EVALUATION,
    IPC,
    METHOD,
    NETWORK,
    SET,
    Payload,
    Plan,
    Resources,
    Stage,
    register_stage,
)

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

CELL = (DATASET, METHOD, IPC, SET)


@register_stage
class EvaluateStage(Stage):
    """Reads a set, the test images, and the training images for what is chosen on validation images."""

    name = "evaluate"
    label = "evaluate_{dataset}_{method}_ipc{ipc}_set{set}_{evaluation}_{network}"
    folder = "artifacts/scores/{dataset}/{method}/ipc{ipc}/set{set}/{evaluation}/{network}"
    payloads = (Payload("scores", "scores.json", is_metrics=True),)
    wildcards = (*CELL, EVALUATION, NETWORK)
    implementation = "dcpipe.evaluation.evaluate_stage"
    command = "dcpipe evaluate {dataset} {method} --ipc {ipc} --set {set} --protocol {evaluation} --network {network}"
    reads = ("data", "whiten", "distill")
    numeric = True
    resources = Resources(mem_mb=2000, runtime=120, gpu=1)

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """It reads the last images, or every snapshot where the protocol chooses among them."""
        dataset, network = wildcards["dataset"], wildcards["network"]
        resolved_dataset, data = graph.library.dataset(dataset)
        resolved, evaluation = graph.library.evaluation(wildcards["evaluation"], dataset, int(wildcards["ipc"]))
        check.evaluation(resolved, evaluation, data, network)
        if data.split.test_per_class == 0:
            where = resolved_dataset.location_of("split.test_per_class")
            raise UserError("no images are set aside to test on", where=where, remedy="write a number of images")
        real = data.network if network == "native" else network
        made = graph.make_job("distill", **{wildcard.name: wildcards[wildcard.name] for wildcard in CELL})
        _refuse_missing_unaveraged(graph, evaluation, wildcards)
        source = "snapshots" if evaluation.selection.reads_snapshots else "synthetic"
        return Plan(
            inputs={
                "synthetic": (made.outputs[source],),
                **image_inputs(graph, dataset),
                "test": (graph.make_job("data", dataset=dataset).outputs["test"],),
            },
            values=[
                tracked_values(resolved, without=("description",)),
                native_network_values(resolved_dataset, network),
            ],
            roots=(
                *implementation_modules(evaluation),
                *pass_modules(evaluation.compute),
                network_name.module_of(real),
            ),
            sections={"evaluation": evaluation, "network": real},
            resources=self.resources_with_threads(evaluation.compute.threads),
        )

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """Test images, the sets, the training of networks on them, and every test image classified by each."""
        config, dataset = job.section("evaluation", Evaluation), job.wildcards["dataset"]
        network, tested = network_size(graph, dataset, job.section("network", str)), num_test_images(graph, dataset)
        method = graph.job_that_makes(job.input("synthetic")).section("method", Method)
        whole, classes = num_train_images(graph, dataset), dataset_facts(graph, job).classes
        images = whole if method.matching.takes_whole_dataset else classes * int(job.wildcards["ipc"])
        outer, sets = method.outer, 1
        if config.selection.reads_snapshots and outer:
            sets = outer.iterations // outer.snapshot_every + 1
        batch, together = min(config.batch, images), min(config.networks, config.side_by_side)
        step = network.vmapped_gradient_work(batch, together) if together > 1 else network.gradient_work(batch)
        averaged = outer is not None and outer.averaging.is_average
        trained = (
            sets * config.learning_rate.num_candidates * config.networks * (config.start.rounds if averaged else 1)
        )
        steps = step.times(trained / together * config.sharpness.passes * (config.epochs + 1) * images / batch)
        held = Work(held_bytes=FLOAT_BYTES * (sets + 2) * images * values_per_image(dataset_facts(graph, job)))
        classified = classifying_work(network, tested).times(trained)
        validated = (num_validation_images(graph, dataset),) if config.selection.needs_validation else ()
        return loading_work(graph, dataset, tested, *validated) + held + steps + classified


def _refuse_missing_unaveraged(graph: "Graph", evaluation: Evaluation, wildcards: Mapping[str, str]) -> None:
    """A protocol that begins with the images before averaging needs them. Raises: UserError naming the method's key."""
    if evaluation.start.is_fresh:
        return
    name, dataset, ipc = wildcards["method"], wildcards["dataset"], int(wildcards["ipc"])
    resolved, method = graph.library.method(name, dataset, ipc)
    averaging = method.outer.averaging if method.outer else None
    if averaging and averaging.is_average and not averaging.keeps_unaveraged:
        protocol = wildcards["evaluation"]
        problem = f"keeps the average alone, and protocol {protocol} trains networks on the images before averaging too"
        remedy = "name a preset that keeps both (outer.averaging.keep_unaveraged), or a protocol whose start is fresh"
        raise UserError(problem, where=resolved.location_of("outer.averaging.kind"), remedy=remedy)


def evaluation_jobs(graph: "Graph", experiment: str) -> tuple["Job", ...]:
    """The evaluations of an experiment: every combination of its runs, each once."""
    jobs: dict[str, Job] = {}
    for run in graph.library.experiment(experiment)[1].runs:
        cells: list[dict[str, str | int]] = [
            {"dataset": dataset, "method": method, "ipc": ipc, "set": index}
            for dataset in run.datasets
            for method in run.methods
            for ipc in run.ipc
            for index in range(run.sets)
        ]
        for cell in cells:
            for evaluation in run.evaluations:
                for network in run.networks:
                    job = graph.make_job("evaluate", **cell, evaluation=evaluation, network=network)
                    jobs.setdefault(job.name, job)
    return tuple(jobs.values())
