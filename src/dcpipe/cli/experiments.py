"""Whole experiments without an engine, and published experts."""

import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcpipe.cli.app import (
    ROOT,
    AnyExperiment,
    Dataset,
    Log,
    app,
    debugging,
    explained,
    load_graph,
    print_lines,
    print_to_stderr,
    send_log_to,
)
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph

PANEL = "Experiments"
Budget = Annotated[
    float | None, typer.Option("--budget", min=0.0, help="Save and stop after this many minutes, with exit code 75.")
]


@app.command(rich_help_panel=PANEL)
def run(
    experiment: AnyExperiment = DEFAULT_EXPERIMENT,
    stages: Annotated[str | None, typer.Option("--stages", help="Only these stages, for example data,experts.")] = None,
    budget: Budget = None,
    log: Log = None,
    unrecorded: Annotated[bool, typer.Option("--unrecorded", help="Do not record the result in DVC.")] = False,
) -> None:
    """Run what is not current, one job after the other, in one process; the same command goes on.

    A complete run is recorded in DVC where the engines are installed; one of some stages is not.
    Example: dcpipe run digits --budget 30
    """
    from dcpipe.workflow.runner import parse_stage_names

    send_log_to(log)
    chosen = parse_stage_names(stages)
    graph, name = load_graph(experiment, write=True)
    record = stages is None and not unrecorded
    engines = _prepare_run(graph, name, record=record)
    code = _run(graph, name, chosen, budget, log)
    if code == 0 and unrecorded:
        print_to_stderr(f"not recorded in DVC, as requested; record it later with `{_RECORD.format(name)}`")
    elif code == 0 and record and not engines:
        print_to_stderr("not recorded: DVC and Snakemake are not installed here; `pip install 'dcpipe[engines]'`")
    elif code == 0 and record:
        _record(graph, name)
    sys.exit(code)


_RECORD = "dcpipe adopt {0} --finished && dcpipe record {0}"


def _prepare_run(graph: "Graph", name: str, *, record: bool) -> bool:
    """Judge what the run needs around it, and take over what a dead run left; whether the engines are installed."""
    from dcpipe.engines import preflight

    if not all(find_spec(package) for package in ("dvc", "snakemake", "psutil")):
        preflight.refuse_blocked_run(preflight.folder_findings(ROOT))
        return False
    from dcpipe.engines import run_owner, takeover

    command = f"dcpipe run {name}"
    preflight.refuse_blocked_run(preflight.findings(graph, name), record=record, unrecorded=f"{command} --unrecorded")
    takeover.clean_up_dead_runs(ROOT, name, print_to_stderr)
    run_owner.register(ROOT, command, name)
    return True


def _record(graph: "Graph", name: str) -> None:
    """Settle Snakemake's bookkeeping and record in DVC, unless that was done before; a refusal is no error."""
    from dcpipe.engines import dvc_lock, dvc_yaml, guard
    from dcpipe.errors import RefusedError

    jobs = [job for job in graph.experiment_jobs(name) if not job.is_view]
    if dvc_lock.are_recorded(ROOT, dvc_yaml.files_with_jobs(ROOT, jobs), jobs):
        return
    try:
        guard.adopt_finished(ROOT, name)
        typer.echo(f"recorded {guard.record_run(ROOT, name)} jobs of {name} in DVC")
    except RefusedError as error:
        print_to_stderr(f"not recorded: {error}")


def _run(graph: "Graph", name: str, stages: Collection[str], budget: float | None, log: Path | None) -> int:
    """The exit code."""
    from dcpipe.commands import plan as planning
    from dcpipe.commands.run_output import RunOutput
    from dcpipe.workflow.runner import ExperimentRunner, OutcomeSummary

    tally, pages = OutcomeSummary(), list[str]()
    planning.refuse_full_disk(planning.plan_rows(graph, name), ROOT)
    output = RunOutput.for_run(graph, graph.experiment_jobs(name), stages, own_logs=log is None)
    runner = ExperimentRunner(graph, stages, begin=output.begin)
    try:
        for outcome in runner.run_experiment(name, None if budget is None else 60 * budget):
            output.end(outcome)
            if line := tally.add_outcome(outcome):
                output.say(line)
            if outcome.error:
                if debugging():
                    raise outcome.error
                output.say(f"dcpipe: {outcome.job.name} failed: {explained(outcome.error)[0]}")
            elif outcome.job.is_view and outcome.state == "made" and log is None:
                pages.append(outcome.text)
    finally:
        output.close()
    for page in pages:
        from dcpipe.report import terminal

        terminal.write_out(page)
    for line in tally.table():
        typer.echo(line)
    typer.echo(tally.summary())
    return tally.exit_code


@app.command(rich_help_panel=PANEL)
def reproduce(
    row: Annotated[str | None, typer.Argument(help="METHOD-DATASET-ipcN, as in mtt-cifar10-ipc1.")] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="Every row of a paper's table, as in ftd-1, instead of one row.")
    ] = None,
    rows: Annotated[
        bool,
        typer.Option("--list", help="List the rows and tables of the papers, with the number that each row prints."),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would run and what it would cost.")] = False,
    sets: Annotated[
        int | None,
        typer.Option(
            "--sets",
            min=1,
            help="Number of synthetic sets, each from its own seed; default: as many as the literature makes.",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", help="A protocol: the name of a file in params/evaluations; default: the literature's."
        ),
    ] = None,
    budget: Budget = None,
    log: Log = None,
) -> None:
    """Run one row of one paper, or a whole table: prints the cost, runs what is not current, and compares.

    Example: dcpipe reproduce mtt-cifar10-ipc1 --plan
    Example: dcpipe reproduce --table gm-1 --plan
    """
    from dcpipe.commands import plan as planning
    from dcpipe.errors import UserError
    from dcpipe.report import rows as printed
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.runner import parse_stage_names

    if row is not None and table is not None:
        raise UserError("a row and --table exclude each other", where="dcpipe reproduce", remedy="give one of them")
    if rows or (row is None and table is None):
        print_lines(printed.row_lines(ROOT))
        return
    send_log_to(log)
    if table is not None:
        found = printed.table_reproduction(ROOT, table, sets=sets, protocol=protocol)
    else:
        found = printed.reproduction(ROOT, printed.find_row(ROOT, str(row)), sets=sets, protocol=protocol)
    graph = Graph(ROOT, found.extra)
    print_lines([*found.descriptions, *planning.plan_lines(planning.plan_rows(graph, found.name), ROOT)])
    if plan:
        print_lines([f"run it: {found.command}"])
        return
    for dataset in dict.fromkeys(one.dataset for one in found.rows):
        printed.refuse_absent_data(graph, dataset)
    code = _run(graph, found.name, parse_stage_names(), budget, log)
    if code == 0:
        print_lines(printed.comparison_lines(graph, found))
    sys.exit(code)


@app.command("import-buffers", rich_help_panel=PANEL)
def import_buffers(
    dataset: Dataset,
    experts: Annotated[
        str, typer.Argument(help="Experts: the name of a file in params/experts whose origin is imported.")
    ],
    files: Annotated[list[Path], typer.Argument(help="replay_buffer_*.pt")],
    log: Log = None,
) -> None:
    """Import published experts instead of training them; later stages use them like trained ones.

    Example: dcpipe import-buffers cifar10-zca published replay_buffer_*.pt
    """
    from dcpipe.experts import buffers
    from dcpipe.workflow.graph import Graph

    send_log_to(log)
    for job, state in buffers.import_files(Graph(ROOT), dataset, experts, files):
        typer.echo(f"{job.name}: {state}")
