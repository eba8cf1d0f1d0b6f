"""The plan of the apply stage: one part of an application of one synthetic set."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dcpipe.data.data_plan import dataset_facts, values_per_image
from dcpipe.data.loading_plan import classifying_work, loading_work, network_size, num_test_images, num_train_images
from dcpipe.data.whiten_plan import image_inputs
from dcpipe.errors import UserError
from dcpipe.experts.pass_config import pass_modules
from dcpipe.params import check, network_name
from dcpipe.params.application import Application, ApplicationContext
from dcpipe.params.axis import ValueLocation, implementation_modules
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.values import tracked_values
from dcpipe.params.work import FLOAT_BYTES, Work
from dcpipe.workflow.stages import (
    DATASET,
    EVALUATION,
    IPC,
    METHOD,
    SET,
    Payload,
    Plan,
    Resources,
    Stage,
    Wildcard,
    register_stage,
)

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

WHOLE = "whole"  # the method whose set is all real images
APPLICATION = Wildcard("application", section="applications")
PART = Wildcard("part", "[0-9]+")
CELL = (DATASET, METHOD, IPC, SET)


@register_stage
class ApplyStage(Stage):
    """Reads a finished set and the test images."""

    name = "apply"
    label = "apply_{application}_{dataset}_{method}_ipc{ipc}_set{set}_{evaluation}_part{part}"
    folder = "artifacts/applications/{application}/{dataset}/{method}/ipc{ipc}/set{set}/{evaluation}/part{part}"
    payloads = (Payload("results", "results.json"),)
    wildcards = (APPLICATION, *CELL, EVALUATION, PART)
    implementation = "dcpipe.evaluation.applications.apply_stage"
    reads = ("data", "whiten", "distill")
    numeric = True
    resources = Resources(mem_mb=2000, runtime=240, gpu=1)

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The protocol trains on the finished set at a rate that needs no search."""
        dataset, part = wildcards["dataset"], int(wildcards["part"])
        resolved_dataset, data = graph.library.dataset(dataset)
        resolved, application = graph.library.application(wildcards["application"], dataset)
        protocol, evaluation = graph.library.evaluation(wildcards["evaluation"], dataset, int(wildcards["ipc"]))
        check.evaluation(protocol, evaluation, data, "native")
        _refuse_choices(protocol, evaluation)
        at = ValueLocation(resolved, "task")
        application.task.check(at, ApplicationContext(resolved, data, evaluation))
        parts = application.task.num_parts(data)
        if part >= parts:
            problem = f"there is no part {part}: this application of {dataset} has {parts}"
            raise UserError(problem, where=resolved.file, remedy=f"name a part from 0 to {parts - 1}")
        made = graph.make_job("distill", **{wildcard.name: wildcards[wildcard.name] for wildcard in CELL})
        networks = dict.fromkeys((data.network, *application.task.networks_to_train(data, part)))
        modules = dict.fromkeys(network_name.module_of(name) for name in networks)
        return Plan(
            inputs={
                "synthetic": (made.outputs["synthetic"],),
                **image_inputs(graph, dataset),
                "test": (graph.make_job("data", dataset=dataset).outputs["test"],),
            },
            values=[
                tracked_values(resolved, without=("description",)),
                tracked_values(protocol, without=("description",)),
                tracked_values(resolved_dataset, only=("network",)),
            ],
            roots=(
                *implementation_modules(application),
                *implementation_modules(evaluation),
                *pass_modules(evaluation.compute),
                *modules,
            ),
            sections={
                "application": application,
                "evaluation": evaluation,
                "method": made.section("method", Method),
                "network": data.network,
                "dataset": data,
            },
            resources=self.resources_with_threads(evaluation.compute.threads),
        )

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """Test images and the set; every network that a part trains, one after the other."""
        config, dataset = job.section("evaluation", Evaluation), job.wildcards["dataset"]
        task, data = job.section("application", Application).task, job.section("dataset", Dataset)
        tested, facts = num_test_images(graph, dataset), dataset_facts(graph, job)
        method, ipc = job.section("method", Method), int(job.wildcards["ipc"])
        images = num_train_images(graph, dataset) if method.matching.takes_whole_dataset else facts.classes * ipc
        batch, together = min(config.batch, images), min(config.networks, config.side_by_side)
        found = loading_work(graph, dataset, tested) + Work(
            held_bytes=2 * FLOAT_BYTES * images * values_per_image(facts)
        )
        for name in task.networks_to_train(data, int(job.wildcards["part"])):
            network = network_size(graph, dataset, name)
            step = network.vmapped_gradient_work(batch, together) if together > 1 else network.gradient_work(batch)
            passes = config.networks / together * config.sharpness.passes * (config.epochs + 1) * images / batch
            found += step.times(passes) + classifying_work(network, tested).times(config.networks)
        return found


def _refuse_choices(resolved: ResolvedSection, evaluation: Evaluation) -> None:
    """An application uses the finished set at one rate. Raises: UserError naming the protocol's key."""
    if evaluation.selection.reads_snapshots:
        problem, remedy = "an application uses the finished set", "name a protocol whose selection is last"
        raise ValueLocation(resolved, "selection").error("kind", problem, remedy)
    if evaluation.learning_rate.num_candidates > 1:
        problem, remedy = "an application trains at one learning rate", "name a protocol whose rate is own or fixed"
        raise ValueLocation(resolved, "learning_rate").error("kind", problem, remedy)
    if not evaluation.start.is_fresh:
        problem, remedy = "an application trains fresh networks", "name a protocol whose start is fresh"
        raise ValueLocation(resolved, "start").error("kind", problem, remedy)


def application_jobs(graph: "Graph", experiment: str) -> tuple["Job", ...]:
    """The applications of an experiment: every part of every combination of its runs, each once."""
    jobs: dict[str, Job] = {}
    for run in graph.library.experiment(experiment)[1].application_runs or ():
        for application in run.applications:
            for dataset in run.datasets:
                parts = graph.library.application(application, dataset)[1].task.num_parts(
                    graph.library.dataset(dataset)[1]
                )
                cells: list[dict[str, str | int]] = [
                    {"method": method, "ipc": ipc, "set": index, "evaluation": evaluation, "part": part}
                    for method in run.methods
                    for ipc in run.ipc
                    for index in range(run.sets)
                    for evaluation in run.evaluations
                    for part in range(parts)
                ]
                for cell in cells:
                    job = graph.make_job("apply", application=application, dataset=dataset, **cell)
                    jobs.setdefault(job.name, job)
    for job in jobs.values():
        _refuse_absent_ranking(graph, experiment, job, jobs.values())
    return tuple(jobs.values())


def _refuse_absent_ranking(graph: "Graph", experiment: str, job: "Job", jobs: Iterable["Job"]) -> None:
    """A ranking needs the one to compare it with. Raises: UserError naming the experiment's key."""
    task, names = job.section("application", Application).task, job.wildcards
    wanted = {"application": names["application"], "dataset": names["dataset"], "method": WHOLE}
    if task.reference_protocol is None:
        return
    wanted["evaluation"] = task.reference_protocol
    if not any(wanted.items() <= one.wildcards.items() for one in jobs):
        problem = f"{names['application']} has no ranking by all real images of {names['dataset']} to compare with"
        where = graph.library.experiment(experiment)[0].location_of("application_runs")
        remedy = f"add a run with methods: [{WHOLE}], evaluations: [{task.reference_protocol}]"
        raise UserError(problem, where=where, remedy=remedy)
