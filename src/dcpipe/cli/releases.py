"""Releasing a set: a folder that works without dcpipe, and the test images to try it with."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, Dataset, Ipc, Method, Network, Protocol, Set, app
from dcpipe.errors import UserError

PANEL = "Releases"


class Whitening(StrEnum):
    """How the numbers of a set were prepared."""

    NONE = "none"
    ZCA = "zca"


@app.command(rich_help_panel=PANEL)
def release(
    dataset: Dataset,
    method: Method,
    ipc: Ipc,
    protocol: Protocol,
    network: Network = "native",
    set_: Set = 0,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to make; default: releases/DATASET-METHOD-ipcN-setM.")
    ] = None,
) -> None:
    """Make a folder of an evaluated set that others can train on without dcpipe.

    Images, labels, step size, the transform of test images, pictures, a card with the expected accuracy, sums,
    and a plain PyTorch script. `dcpipe.load(FOLDER)` reads it in Python.

    Example: dcpipe release digits mtt --ipc 1 --protocol digits --to digits-mtt-ipc1
    """
    from dcpipe.commands.release import make_release
    from dcpipe.workflow.graph import Graph

    graph = Graph(ROOT)
    wildcards: dict[str, str | int] = {"dataset": dataset, "method": method, "ipc": ipc, "set": set_}
    folder = to or Path("releases", f"{dataset}-{method}-ipc{ipc}-set{set_}")
    expected = make_release.release(
        graph, graph.make_job("evaluate", **wildcards, evaluation=protocol, network=network), folder
    )
    typer.echo(f"{folder}: networks trained on it are expected to reach {expected}")


@app.command("test-images", rich_help_panel=PANEL)
def export_test_images(
    dataset: Dataset, to: Annotated[Path, typer.Argument(help="The .npz file to write: images and labels.")]
) -> None:
    """Write a dataset's test images as .npz, for a release's train.py. Nothing is measured on them.

    Example: dcpipe test-images digits test.npz
    """
    from dcpipe.commands.release import test_images as images
    from dcpipe.workflow.graph import Graph

    count = images.export_test_images(Graph(ROOT), dataset, to)
    typer.echo(f"{to}: {count} images")


class ExportLayout(StrEnum):
    """The layouts that a set is exported in."""

    MTT = "mtt"
    DATM = "datm"
    DC = "dc"
    NPZ = "npz"
    HUGGINGFACE = "huggingface"


@app.command("export-set", rich_help_panel=PANEL)
def export_set(
    dataset: Dataset,
    method: Method,
    ipc: Ipc,
    layout: Annotated[ExportLayout, typer.Option("--layout", help="The layout that other code expects.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to make.")],
    set_: Set = 0,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="For huggingface: the protocol whose accuracy the card states.")
    ] = None,
    network: Network = "native",
) -> None:
    """Write a set in the layout of MTT's, DATM's or DC's code, as .npz, or as a Hugging Face folder with Croissant.

    Example: dcpipe export-set digits mtt --ipc 1 --layout huggingface --protocol digits --to digits-mtt
    """
    from dcpipe.commands.release import export_set as exporting
    from dcpipe.commands.release import huggingface_folder
    from dcpipe.workflow.graph import Graph

    graph = Graph(ROOT)
    wildcards: dict[str, str | int] = {"dataset": dataset, "method": method, "ipc": ipc, "set": set_}
    if layout is not ExportLayout.HUGGINGFACE:
        if protocol is not None:
            remedy = "leave it out, or write --layout huggingface"
            raise UserError("has no effect on this layout", where="--protocol", remedy=remedy)
        names = exporting.export_set(ROOT, graph.make_job("distill", **wildcards), layout.value, to)
        typer.echo(f"{to}: {', '.join(names)}; {exporting.STATEMENT} says how the images were prepared")
        return
    if protocol is None:
        remedy = "name the protocol by which the set was evaluated"
        raise UserError("is needed: the card states the accuracy to expect", where="--protocol", remedy=remedy)
    scored = graph.make_job("evaluate", **wildcards, evaluation=protocol, network=network)
    expected = huggingface_folder.export_to_huggingface(graph, scored, to)
    typer.echo(f"{to}: networks trained on it are expected to reach {expected}")


@app.command("import-set", rich_help_panel=PANEL)
def import_set(
    path: Annotated[
        Path,
        typer.Argument(
            help="images_best.pt, res_*.pt, .npz, .safetensors, a folder of images, of Hugging Face, a release."
        ),
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="A dataset: the name of a file in params/datasets.")],
    name: Annotated[str | None, typer.Option("--name", help="The name of its preset; default: from the path.")] = None,
    whitening: Annotated[
        Whitening | None, typer.Option("--whitening", help="Whether its numbers are whitened; pixels are not.")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option("--mean", help="Mean that its authors subtracted, one value per channel: 0.49,0.48,0.45"),
    ] = None,
    std: Annotated[
        str | None, typer.Option("--std", help="Standard deviation that its authors divided by, one value per channel.")
    ] = None,
    step_size: Annotated[
        float | None, typer.Option("--step-size", help="Its step size, if the files hold none.")
    ] = None,
    log_step_size: Annotated[
        bool, typer.Option("--log-step-size", help="The step size in the files is a logarithm.")
    ] = False,
) -> None:
    """Import a synthetic set that came from elsewhere: it becomes a preset, scored and reported like any other.

    Example: dcpipe import-set downloads/images_best.pt --dataset cifar10-zca --whitening zca --name theirs
    """
    from dcpipe.commands import import_set as importing

    said = importing.ImportOptions(
        name=name,
        whitening=whitening.value if whitening else None,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        step_size=step_size,
        is_logarithm=log_step_size,
    )
    for line in importing.import_set(ROOT, path, dataset, said):
        typer.echo(line)


def _numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers with commas between them. Raises: UserError for anything else."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{text!r} is not a list of numbers", where=option, remedy="write as 0.49,0.48,0.45") from error
