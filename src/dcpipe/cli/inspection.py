"""One verb a question: what would run, what was chosen, what came out. Nothing is written."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, AnyExperiment, NamedExperiment, app, load_graph, print_lines
from dcpipe.errors import UserError
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT

PANEL = "Questions"


class Shell(StrEnum):
    """The shells that completion is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


params_app = typer.Typer(help="Look at params.", no_args_is_help=True)
app.add_typer(params_app, name="params", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def show(experiment: NamedExperiment = DEFAULT_EXPERIMENT) -> None:
    """Print an experiment's table from the artifacts that are there.

    Example: dcpipe show digits
    """
    from dcpipe.report import report_stage, terminal
    from dcpipe.workflow.graph import Graph

    terminal.write_out(report_stage.headline_text(Graph(ROOT).make_job("report", experiment=experiment), ROOT))


class TableFormat(StrEnum):
    """The forms of a table."""

    TEXT = "text"
    CSV = "csv"
    LATEX = "latex"


@app.command(rich_help_panel=PANEL)
def compare(
    experiment: NamedExperiment = DEFAULT_EXPERIMENT,
    to: Annotated[
        str | None, typer.Option("--to", help="The method to compare with; default: the experiment's reference.")
    ] = None,
    form: Annotated[TableFormat, typer.Option("--form", help="How to print the table.")] = TableFormat.TEXT,
) -> None:
    """Compare every method of an experiment with one of them: differences, standard errors, and ties called ties.

    Example: dcpipe compare digits --to mtt
    """
    from dcpipe.report import reference_table
    from dcpipe.report.terminal import write_out
    from dcpipe.workflow.graph import Graph

    job = Graph(ROOT).make_job("report", experiment=experiment)
    table = reference_table.experiment_reference_table(job, ROOT, to)
    forms = {TableFormat.TEXT: table.text, TableFormat.CSV: table.csv, TableFormat.LATEX: table.latex}
    write_out(forms[form]())


@app.command(rich_help_panel=PANEL)
def plan(experiment: AnyExperiment = DEFAULT_EXPERIMENT) -> None:
    """Say what would run, and what it will cost, before anything is spent.

    Example: dcpipe plan digits
    """
    from dcpipe.commands import plan as planning
    from dcpipe.report import unsourced

    graph, name = load_graph(experiment)
    print_lines([*planning.plan_lines(planning.plan_rows(graph, name), ROOT), *unsourced.unsourced_lines(graph, name)])


@app.command("rehearse", rich_help_panel=PANEL)
def rehearse_(
    experiment: AnyExperiment = DEFAULT_EXPERIMENT,
    devices: Annotated[str, typer.Option("--devices", help="Numbers of devices to print the hours for.")] = "1,8,64",
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many steps of each kind are timed.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; the table goes to standard error.")] = False,
) -> None:
    """Try a few steps of each kind of job on noise images, and say what the whole experiment takes here.

    It needs neither the data nor any artifact. Example: dcpipe rehearse cifar10
    """
    from dcpipe.commands import plan as planning
    from dcpipe.commands.rehearsal import job_kinds, rehearsal_table, rehearse

    counts = rehearsal_table.parse_device_counts(devices)
    graph, name = load_graph(experiment)
    kinds = job_kinds.find_job_kinds(graph, name)
    disk = planning.disk_bytes(graph, graph.experiment_jobs(name))
    results = []
    typer.echo(rehearsal_table.table_head(kinds), err=as_json)
    for one in rehearse.rehearse_kinds(graph, kinds, steps=steps):
        results.append(one)
        typer.echo(rehearsal_table.kind_line(one, kinds), err=as_json)
    print_lines(
        [rehearsal_table.rehearsal_json(results, disk, counts)]
        if as_json
        else rehearsal_table.total_lines(results, disk, counts)
    )


@app.command(rich_help_panel=PANEL)
def status(
    experiment: AnyExperiment = DEFAULT_EXPERIMENT,
    jobs: Annotated[bool, typer.Option("--jobs", help="Every job, and why it is not done.")] = False,
) -> None:
    """Say what of an experiment is done, running, stale (made by other params, code or inputs) or missing.

    Example: dcpipe status digits --jobs
    """
    from dcpipe.commands import status as states

    print_lines(states.status_lines(states.experiment_status(*load_graph(experiment)), every_job=jobs))


@app.command(rich_help_panel=PANEL)
def where(
    artifact: Annotated[str, typer.Argument(help="A path under artifacts/, or the beginning of a digest.")],
) -> None:
    """Say which artifact a path or a digest is, what made it, and what was made of it.

    Example: dcpipe where artifacts/synthetic/digits/mtt/ipc1/set0
    """
    from dcpipe.commands import lookup

    for match in lookup.find_artifacts(ROOT, artifact):
        print_lines(lookup.artifact_lines(ROOT, match))


@app.command(rich_help_panel=PANEL)
def methods() -> None:
    """List the presets: what each composes, where it is from, and which rows papers print of it.

    Example: dcpipe methods
    """
    from dcpipe.report import presets

    print_lines(presets.preset_lines(ROOT))


@app.command(rich_help_panel=PANEL)
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print the script by which a shell completes dcpipe commands; `dcpipe --install-completion` installs it.

    Example: dcpipe completion bash >> ~/.bashrc
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="dcpipe", complete_var="_DCPIPE_COMPLETE", shell=shell.value))


@app.command("gpu-check", rich_help_panel=PANEL)
def gpu_check() -> None:
    """Say which device a job would compute on here, and try it: fails if an allocated one cannot be used.

    Example: dcpipe gpu-check (on a cluster: srun --gpus=1 dcpipe gpu-check)
    """
    from dcpipe.commands import gpu_check as checking

    for line in checking.gpu_check_lines():
        typer.echo(line)


@params_app.command("show")
def params_show(
    experiment: AnyExperiment,
    describe: Annotated[bool, typer.Option("--describe", help="Say below each value what it is.")] = False,
) -> None:
    """Print every resolved value of an experiment and where it comes from.

    Example: dcpipe params show digits --describe
    """
    from dcpipe.params.show import param_lines

    for line in param_lines(*load_graph(experiment), describe=describe):
        typer.echo(line)


@params_app.command("schema")
def params_schema(
    section: Annotated[str, typer.Argument(help="A folder of params/, such as methods.")] = "",
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write the schemas of params files there, for editors: FOLDER/methods.json, ..."),
    ] = None,
) -> None:
    """Print the JSON Schema of a section as it is resolved, with every knob's description; without a name, of all.

    Example: dcpipe params schema methods
    """
    import json

    from dcpipe.params import described, file_schema

    if to is not None:
        if section:
            raise UserError("writes the schemas of all sections", where="--to", remedy="leave the section out")
        print_lines(f"wrote {path}" for path in file_schema.write_schemas(to))
        return
    found = (
        described.section_schema(section)
        if section
        else {name: described.section_schema(name) for name in described.TYPED}
    )
    typer.echo(json.dumps(found, indent=2))
