"""Projects: the folders that experiments are run in."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, app

PANEL = "Projects"


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder.")] = Path(),
    example: Annotated[
        str,
        typer.Option(
            "--example", help="The example to start from: digits, or folder (image files, to be replaced by your own)."
        ),
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


@app.command(rich_help_panel=PANEL)
def new(
    photographs: Annotated[
        Path, typer.Argument(help="A folder that holds a folder of images per class, or train/ and test/ of these.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="The experiment's name; without it, made from the folder's.")
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=1, help="How long the experiment may take on all cores of this machine.")
    ] = 10,
) -> None:
    """Look at a folder of photographs, and write an experiment for it that this machine makes in ten minutes.

    NAME.yaml says why each number was chosen, and is yours to change. Example: dcpipe new ~/photographs/birds
    """
    from dcpipe.commands.new import new_experiment

    new_experiment.write_experiment(ROOT, photographs, name, minutes, typer.echo)
