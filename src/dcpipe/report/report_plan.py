"""The plan of the report stage: an experiment's page and summary. Views: outside DVC and every digest."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dcpipe.errors import UserError
from dcpipe.evaluation.applications.apply_plan import application_jobs
from dcpipe.evaluation.evaluate_plan import evaluation_jobs
from dcpipe.params.experiment import Experiment
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.values import Values, tracked_values
from dcpipe.report.baseline import BASELINE
from dcpipe.report.counterpart import papers_dataset
from dcpipe.report.unsourced import unsourced_cells
from dcpipe.workflow.stages import EXPERIMENT, Payload, Plan, ReportEntry, Stage, register_stage, results_folder

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job


@register_stage
class ReportStage(Stage):
    """Reads the metrics, every score, and what is shown of the sets."""

    name = "report"
    label = "report_{experiment}"
    folder = "results/{experiment}"
    payloads = (
        Payload("page", "report.html", shown=ReportEntry("page.rst", category="Results")),
        Payload("summary", "summary.csv", shown=ReportEntry("summary.rst", category="Results")),
    )
    wildcards = (EXPERIMENT,)
    implementation = "dcpipe.report.report_stage"
    command = "dcpipe report {experiment}"
    reads = ("distill", "evaluate", "apply", "metrics")
    is_view = True

    def final_jobs(self, _graph: "Graph", experiment: str) -> Iterable[Mapping[str, str]]:
        """Every experiment has a report."""
        return [{"experiment": experiment}]

    def job_folder(self, wildcards: Mapping[str, str]) -> str:
        """The default experiment's views are in `results/` itself."""
        return results_folder(wildcards["experiment"])

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """Its values are those that it shows and no artifact has: titles, descriptions and labels."""
        resolved, experiment = graph.library.experiment(wildcards["experiment"])
        _refuse_absent_reference(resolved, experiment)
        jobs = evaluation_jobs(graph, wildcards["experiment"])
        made = [graph.job_that_makes(job.input("synthetic")) for job in jobs]
        sets = tuple({job.name: job for job in made}.values())
        uses = application_jobs(graph, wildcards["experiment"])
        metrics = graph.make_job("metrics", experiment=wildcards["experiment"])
        return Plan(
            inputs={
                "metrics": (metrics.outputs["metrics"],),
                "scores": tuple(job.outputs["scores"] for job in jobs),
                **{name: tuple(job.outputs[name] for job in sets) for name in ("synthetic", "history")},
                **({"applications": tuple(job.outputs["results"] for job in uses)} if uses else {}),
            },
            values=[
                tracked_values(resolved, only=("title", "description", "reference")),
                *(_label(graph, job) for job in sets),
            ],
            sections={
                "scores": jobs,
                "applications": uses,
                "sets": sets,
                "experiment": experiment,
                "papers": _papers(graph, sets),
                "unsourced": unsourced_cells(graph, wildcards["experiment"]),
            },
        )


def _refuse_absent_reference(resolved: ResolvedSection, experiment: Experiment) -> None:
    """Random images need not be there; a method that is named must. Raises: UserError."""
    methods = sorted({method for run in experiment.runs for method in run.methods})
    if experiment.reference not in {BASELINE, *methods}:
        problem = f"{experiment.reference} is not a method of this experiment"
        raise UserError(problem, where=resolved.location_of("reference"), remedy=f"name one of {', '.join(methods)}")


def _papers(graph: "Graph", sets: Iterable["Job"]) -> dict[str, str]:
    """By dataset the name under which papers print numbers for its images."""
    datasets = {job.wildcards["dataset"] for job in sets}
    return {dataset: papers_dataset(graph.library, dataset) for dataset in sorted(datasets)}


def _label(graph: "Graph", distill_job: "Job") -> Values:
    wildcards = distill_job.wildcards
    preset, _ = graph.library.method(wildcards["method"], wildcards["dataset"], int(wildcards["ipc"]))
    return tracked_values(preset, only=("label",))
