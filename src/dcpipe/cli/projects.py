"""Projects: the folders that experiments are run in."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import app

PANEL = "Projects"


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder.")] = Path(),
    example: Annotated[
        str,
        typer.Option("--example", help="digits, or folder: image files, to put yours in their place."),
    ] = "digits",
    update: Annotated[bool, typer.Option("--update", help="Only refresh the profiles of a project.")] = False,
) -> None:
    """Make a project: a folder with params/, a Snakefile, profiles, git and DVC, in which `snakemake` runs.

    Example: dcpipe init lab
    """
    from dcpipe.commands import init_project

    if update:
        init_project.update(folder, typer.echo)
    else:
        init_project.init(folder, example, typer.echo)
