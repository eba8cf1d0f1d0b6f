"""Verbs about the machine and the folder: what a run needs of them, and a disk of its own for what is recorded."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, AnyExperiment, app, load_graph, print_lines
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT

PANEL = "This machine"


@app.command(rich_help_panel=PANEL)
def doctor(experiment: AnyExperiment = DEFAULT_EXPERIMENT) -> None:
    """Say, a line per check, whether this machine and folder are ready for a run and its record, or what to do.

    Example: dcpipe doctor digits
    """
    from dcpipe.engines import diagnosis

    graph, name = load_graph(experiment)
    print_lines(diagnosis.format_findings(findings := list(diagnosis.findings(graph, name))))
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def scratch(
    folder: Annotated[Path, typer.Argument(help="A folder on a disk with room; made if it is not there.")],
) -> None:
    """Keep what DVC records on another disk, with links to it in artifacts/: for a home directory with a quota.

    Example: dcpipe scratch /scratch/$USER/dcpipe
    """
    from dcpipe.engines import scratch as scratching

    for line in scratching.set_up(ROOT, folder):
        typer.echo(line)
