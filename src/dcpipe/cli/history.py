"""What keeps recorded results current when the code changes."""

from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, app

PANEL = "Snakemake and DVC"


@app.command("equivalent", rich_help_panel=PANEL)
def record_equivalence(
    commit: Annotated[
        str | None,
        typer.Argument(help="Commit of the old code; default: the last one that changed code_identity.yaml."),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            "--experiment", help="Try every kind of job of this experiment; default: those whose artifacts are here."
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Try whole jobs, not a few steps of each.")] = False,
) -> None:
    """Show that a change of code changes no byte, and record it: then what is recorded stays current.

    Runs old and new code for every kind of job that the change reaches, and compares all bytes. Refused, with nothing
    written, if one differs or a kind cannot be tried. Example: dcpipe equivalent HEAD
    """
    from dcpipe.commands import equivalent as proving
    from dcpipe.provenance.equivalences import FILE

    count = proving.record_equivalence(ROOT, commit, experiment or [], whole=whole, say=typer.echo)
    if count:
        tried = f"{count} kinds of jobs" if count > 1 else "1 kind of job"
        typer.echo(f"{tried}: every byte is the same; recorded in {FILE}")
    else:
        typer.echo("every artifact here was made by the code that is running: nothing to compare")
