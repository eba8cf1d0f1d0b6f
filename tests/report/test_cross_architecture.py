"""Laws of the matrix of networks: its entries are those of the ordinary tables, and the own network is marked."""

import shutil
from pathlib import Path

import pytest

from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.cross_architecture import cross_architecture_tables, source_network
from dcpipe.report.tables import headlines
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

EXPERIMENT = """
title: Across
description: Two networks make sets, three are trained on them.
runs:
  - datasets: [tiny, tiny-mlp]
    methods: [random, gm-m]
    ipc: [1]
    sets: 1
    evaluations: [digits]
    networks: [native, mlp, convnet1-w8]
"""
OTHER = "base: tiny\nnetwork: mlp\nsources: {all: as tiny}\n"


@pytest.fixture(scope="module")
def cells(made: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    root = shutil.copytree(made, tmp_path_factory.mktemp("across") / "root")
    (root / "params/datasets/tiny-mlp.yaml").write_text(OTHER)
    (root / "params/experiments/across.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("across"):
        if not job.is_view:
            execute_job(job, root)
    return gather_cells(graph.make_job("report", experiment="across"), root)


def test_every_entry_is_that_of_the_ordinary_table(cells: list[Cell]) -> None:
    (matrix,) = cross_architecture_tables(cells)
    titles = [column.title for column in matrix.columns[3:]]
    assert titles == list(dict.fromkeys(cell.network for cell in cells))
    ordinary = {
        (dataset, entry.cell.label, head.network): entry.text
        for head in headlines(cells)
        for (_, dataset, _), entry in head.entries.items()
    }
    seen = {
        (str(row[0]), str(row[1]), network): str(value).removesuffix(" *")
        for row in matrix.rows
        for network, value in zip(titles, row[3:], strict=True)
        if value is not None
    }
    assert seen == ordinary
    assert len(seen) == len(cells)


def test_a_set_is_marked_under_the_network_that_made_it(cells: list[Cell]) -> None:
    (matrix,) = cross_architecture_tables(cells)
    titles = [column.title for column in matrix.columns[3:]]
    for row in matrix.rows:
        marked = [network for network, value in zip(titles, row[3:], strict=True) if str(value).endswith(" *")]
        assert marked == ([] if row[2] == "none" else [row[2]])
    assert {source_network(cell) for cell in cells if cell.method == "gm-m"} == {"convnet2-w32", "mlp"}
    assert {source_network(cell) for cell in cells if cell.method == "random"} == {None}


def test_one_network_alone_is_no_matrix(cells: list[Cell]) -> None:
    assert cross_architecture_tables([cell for cell in cells if cell.network == "mlp"]) == []
