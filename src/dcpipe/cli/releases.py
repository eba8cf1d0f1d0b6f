"""Releasing a set: a folder that works without dcpipe, and the test images to try it with."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, Dataset, Ipc, Method, Network, Protocol, Set, app

PANEL = "Releases"


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
def test_images(
    dataset: Dataset, to: Annotated[Path, typer.Argument(help="The .npz file to write: images and labels.")]
) -> None:
    """Write a dataset's test images as .npz, for a release's train.py. Nothing is measured on them.

    Example: dcpipe test-images digits test.npz
    """
    from dcpipe.commands.release import test_images as images
    from dcpipe.workflow.graph import Graph

    count = images.export_test_images(Graph(ROOT), dataset, to)
    typer.echo(f"{to}: {count} images")
