"""Cells whose values no source states: marked in the plan, the tables and the page.

A preset's `covers` lists the cells that its sources speak of. On a dataset that no paper has, such as digits, values
that the preset states for it are ours and say so; elsewhere they are those of other cells.
"""

from typing import TYPE_CHECKING

from dcpipe.params.coverage import applied_override, coverage
from dcpipe.report.published import paper_datasets

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph

CellName = tuple[str, str, int]
"""Dataset, method and images per class."""


def unsourced_cells(graph: "Graph", experiment: str) -> dict[CellName, str]:
    """Each such cell of an experiment, and whose values it has."""
    cells = {
        (dataset, method, ipc)
        for run in graph.library.experiment(experiment)[1].runs
        for dataset in run.datasets
        for method in run.methods
        for ipc in run.ipc
    }
    found = {cell: _unsourced_note(graph, *cell) for cell in sorted(cells)}
    return {cell: mark for cell, mark in found.items() if mark}


def unsourced_lines(graph: "Graph", experiment: str) -> list[str]:
    """For a terminal: a line for the methods of a dataset and ipc that have the same values."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for (dataset, method, ipc), mark in unsourced_cells(graph, experiment).items():
        groups.setdefault((dataset, ipc, mark), []).append(method)
    return [f"{', '.join(methods)} on {dataset}, ipc {ipc}: {mark}" for (dataset, ipc, mark), methods in groups.items()]


def _unsourced_note(graph: "Graph", dataset: str, method: str, ipc: int) -> str | None:
    if coverage(graph.root, method, graph.extra).covers(dataset, ipc):
        return None
    resolved = graph.library.method(method, dataset, ipc)[0]
    place = f"overrides.{dataset}."
    stated = any(leaf.origin.key.startswith(place) for leaf in resolved.leaves.values())
    if stated and dataset not in paper_datasets():
        return None
    return f"values of {applied_override(resolved) or 'the preset in general'}, no source"
