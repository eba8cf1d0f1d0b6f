"""Verbs that draw what no report has, from artifacts that were made."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, Dataset, Ipc, Method, Set, app, print_lines
from dcpipe.cli.inspection import PANEL


@app.command("paths", rich_help_panel=PANEL)
def draw_paths(
    dataset: Dataset,
    method: Method,
    ipc: Ipc,
    to: Annotated[Path, typer.Option("--to", help="The folder for the SVG, the PDF and the CSV.")],
    set_: Set = 0,
    expert: Annotated[int, typer.Option("--expert", min=0, help="Which expert, from 0.")] = 0,
    students: Annotated[int, typer.Option("--students", min=0, help="How many students of that expert.")] = 3,
) -> None:
    """Draw an expert, its convex path and students on a made set in the plane of the expert's principal components.

    Students are those of the distillation's last iterations, trained on the finished set; a point after each step.

    Example: dcpipe paths digits mct --ipc 1 --to figures
    """
    from dcpipe.commands import network_paths
    from dcpipe.report import figures, views
    from dcpipe.workflow.graph import Graph

    figures.refuse_missing_packages()
    graph = Graph(ROOT)
    job = graph.make_job("distill", dataset=dataset, method=method, ipc=ipc, set=set_)
    drawn = network_paths.draw_paths(graph, job, ROOT, expert=expert, students=students)
    views.write_views({to / name: content for name, content in drawn.files.items()})
    print_lines([*drawn.lines, *(str(to / name) for name in drawn.files)])
