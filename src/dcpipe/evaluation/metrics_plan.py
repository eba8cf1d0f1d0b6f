"""The plan of the metrics stage: the scores of an experiment in one file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcpipe.evaluation.evaluate_plan import evaluation_jobs
from dcpipe.params.values import tracked_values
from dcpipe.workflow.stages import EXPERIMENT, Payload, Plan, Stage, register_stage

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph


@register_stage
class MetricsStage(Stage):
    """Reads every score of an experiment."""

    name = "metrics"
    label = "metrics_{experiment}"
    folder = "artifacts/metrics/{experiment}"
    payloads = (Payload("metrics", "metrics.json", is_metrics=True),)
    wildcards = (EXPERIMENT,)
    implementation = "dcpipe.evaluation.metrics_stage"
    command = "dcpipe metrics {experiment}"
    reads = ("evaluate",)

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The experiment's file says which scores."""
        resolved, _ = graph.library.experiment(wildcards["experiment"])
        jobs = evaluation_jobs(graph, wildcards["experiment"])
        return Plan(
            inputs={"scores": tuple(job.outputs["scores"] for job in jobs)},
            values=[tracked_values(resolved, without=("title", "description", "reference", "application_runs"))],
            sections={"scores": jobs},
        )
