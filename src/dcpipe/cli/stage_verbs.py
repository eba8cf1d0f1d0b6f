"""One verb per stage: both engines call them, and people by hand."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcpipe.cli.app import (
    ROOT,
    Dataset,
    Experts,
    Ipc,
    Log,
    Method,
    NamedExperiment,
    Network,
    Protocol,
    Set,
    Shard,
    app,
    send_log_to,
)

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job

PANEL = "Stages"


def _run(stage: str, log: Path | None, **wildcards: str | int) -> None:
    from dcpipe.workflow.graph import Graph

    send_log_to(log)
    graph = Graph(ROOT)
    _execute(graph, graph.make_job(stage, **wildcards))


def _execute(graph: "Graph", job: "Job") -> None:
    from dcpipe.provenance import code_identity

    stale = code_identity.outdated_keys(ROOT)
    if stale:
        names = ", ".join(name.removeprefix("modules.") for name in stale[:3])
        logging.getLogger("dcpipe").warning("%s is stale (%s): run `dcpipe graph export`", code_identity.FILE, names)
    _refuse_stale_inputs(graph, job)
    logging.getLogger("dcpipe").info("%s: loading libraries", job.name)
    from dcpipe.workflow import execution  # imports torch, so only after the arguments are checked

    card = execution.execute_job(job, ROOT)
    logging.getLogger("dcpipe").info("%s: done, digest %s", job.folder, str(card["digest"])[:16])


def _refuse_stale_inputs(graph: "Graph", job: "Job") -> None:
    """Raises: UserError if an input was made with other params than the present ones; engines make it again first."""
    from dcpipe.errors import UserError
    from dcpipe.provenance import staleness

    makers = [graph.job_that_makes(path) for paths in job.inputs.values() for path in paths]
    for maker in {maker.name: maker for maker in makers}.values():
        if (ROOT / maker.folder / "card.json").is_file():
            problem = staleness.params_difference(maker, ROOT)
            if problem:
                remedy = f"make it again with `{maker.command.split(' --log ')[0]}`, or everything with `dcpipe run`"
                raise UserError(problem, where=str(maker.folder), remedy=remedy)


@app.command(rich_help_panel=PANEL)
def data(dataset: Dataset, log: Log = None) -> None:
    """Prepare a dataset: split it and write it as Zarr.

    Example: dcpipe data digits
    """
    _run("data", log, dataset=dataset)


@app.command(rich_help_panel=PANEL)
def whiten(dataset: Dataset, log: Log = None) -> None:
    """Fit a dataset's ZCA whitening on its training images.

    Only for datasets with whitening.kind: zca. Example: dcpipe whiten cifar10-zca
    """
    _run("whiten", log, dataset=dataset)


@app.command(rich_help_panel=PANEL)
def convexify(
    dataset: Dataset,
    experts: Experts,
    waypoints: Annotated[
        str,
        typer.Option(
            "--waypoints",
            help="Epochs that a convex path passes through, such as 6-25 or 17-34-smoothed; none: its ends only.",
        ),
    ],
    shard: Shard,
    log: Log = None,
) -> None:
    """Keep a few checkpoints of recorded experts, and how far along they were between them.

    Example: dcpipe convexify digits plain --waypoints 3 --shard 0
    """
    _run("convexify", log, dataset=dataset, experts=experts, waypoints=waypoints, shard=shard)


@app.command(rich_help_panel=PANEL)
def experts(dataset: Dataset, experts: Experts, shard: Shard, log: Log = None) -> None:
    """Train one shard of experts and record their trajectories.

    Example: dcpipe experts digits plain --shard 0
    """
    _run("experts", log, dataset=dataset, experts=experts, shard=shard)


@app.command(rich_help_panel=PANEL)
def distill(dataset: Dataset, method: Method, ipc: Ipc, set_: Set = 0, log: Log = None) -> None:
    """Make one synthetic set.

    Example: dcpipe distill digits mtt --ipc 1 --set 0
    """
    _run("distill", log, dataset=dataset, method=method, ipc=ipc, set=set_)


@app.command(rich_help_panel=PANEL)
def evaluate(
    dataset: Dataset,
    method: Method,
    ipc: Ipc,
    protocol: Protocol,
    network: Network = "native",
    set_: Set = 0,
    log: Log = None,
) -> None:
    """Train fresh networks on a synthetic set and test them.

    Example: dcpipe evaluate digits mtt --ipc 1 --protocol digits
    """
    wildcards: dict[str, str | int] = {"dataset": dataset, "method": method, "ipc": ipc, "set": set_}
    _run("evaluate", log, **wildcards, evaluation=protocol, network=network)


@app.command(rich_help_panel=PANEL)
def metrics(experiment: NamedExperiment, log: Log = None) -> None:
    """Pool an experiment's scores into one file.

    Example: dcpipe metrics digits
    """
    _run("metrics", log, experiment=experiment)


@app.command("make", rich_help_panel=PANEL)
def make_artifact(
    path: Annotated[str, typer.Argument(help="An artifact, or its folder.")],
    log: Log = None,
) -> None:
    """Make one artifact by its path, whichever stage it is of.

    Stages that another package adds need no verb. Example: dcpipe make artifacts/data/digits
    """
    from dcpipe.workflow.graph import Graph

    send_log_to(log)
    graph = Graph(ROOT)
    _execute(graph, graph.job_that_makes(path))


@app.command(rich_help_panel=PANEL)
def report(experiment: NamedExperiment, log: Log = None) -> None:
    """Make an experiment's page and summary.csv, and print the table.

    Example: dcpipe report digits
    """
    from dcpipe.report import report_stage, terminal
    from dcpipe.workflow.graph import Graph

    send_log_to(log)
    table = report_stage.run(Graph(ROOT).make_job("report", experiment=experiment), ROOT)
    if log is None:  # under an engine, other jobs write to the same terminal
        terminal.write_out(table)
