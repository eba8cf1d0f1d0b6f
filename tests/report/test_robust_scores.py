"""Laws of the label-robust and augmentation-robust scores, and the numbers of a real experiment."""

import math
import shutil
from pathlib import Path

import pytest

from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.robust_scores import (
    augmentation_robust_score,
    label_robust_score,
    normalised,
    robust_scores,
    robust_table,
)
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

EXPERIMENT = """
title: Robust
description: What the scores need.
runs:
  - {datasets: [tiny], methods: [random, mtt], ipc: [1], sets: 2, evaluations: [digits, moved], networks: [native]}
  - datasets: [tiny]
    methods: [confident-patches]
    ipc: [1]
    sets: 1
    evaluations: [digits, digits-hard]
    networks: [native]
  - {datasets: [tiny], methods: [whole], ipc: [1], sets: 1, evaluations: [digits], networks: [native]}
"""
MOVED = "base: digits\ndescription: Moved and turned.\naugmentation: crop_rotate\n"


def test_the_scale_is_0_to_1_and_nothing_lost_nor_won_is_a_quarter() -> None:
    assert (normalised(-1), normalised(1)) == (0, 1)
    assert label_robust_score(recovery=0, improvement=0) == pytest.approx(1 / (math.e + 1))
    assert label_robust_score(recovery=1, improvement=-1) == 0
    assert label_robust_score(recovery=-1, improvement=1) == 1


def test_each_score_rises_with_what_is_better_and_falls_with_what_is_lost() -> None:
    base = label_robust_score(recovery=0.2, improvement=0.3)
    assert label_robust_score(recovery=0.1, improvement=0.3) > base
    assert label_robust_score(recovery=0.2, improvement=0.4) > base
    assert augmentation_robust_score(augmented=0.2, plain=0.2) == normalised(0.2)
    assert augmentation_robust_score(augmented=0.3, plain=0.1) == pytest.approx(normalised(0.2))


@pytest.fixture(scope="module")
def found(made: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    root = shutil.copytree(made, tmp_path_factory.mktemp("robust") / "root")
    (root / "params/evaluations/moved.yaml").write_text(MOVED)
    (root / "params/experiments/robust.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("robust"):
        if not job.is_view:
            execute_job(job, root)
    return gather_cells(graph.make_job("report", experiment="robust"), root)


def one(cells: list[Cell], method: str, protocol: str = "digits") -> Cell:
    """The cell of a method and protocol."""
    return next(cell for cell in cells if (cell.method, cell.protocol) == (method, protocol))


def test_they_are_those_of_the_cells_that_the_definition_names(found: list[Cell]) -> None:
    mtt, random, whole = (one(found, method) for method in ("mtt", "random", "whole"))
    scores = robust_scores(mtt, found)
    assert scores.recovery == pytest.approx((whole.mean - mtt.mean) / 100)
    assert scores.improvement == pytest.approx((mtt.mean - random.mean) / 100)
    expected = (math.exp((scores.improvement - scores.recovery) / 2) - math.exp(-1)) / (math.e - math.exp(-1))
    assert scores.label_robust == pytest.approx(expected)
    moved = robust_scores(one(found, "mtt", "moved"), found)
    augmented = (one(found, "mtt", "moved").mean - one(found, "random", "moved").mean) / 100
    assert moved.augmentation_robust == pytest.approx(normalised((augmented + scores.improvement) / 2))
    assert scores.augmentation_robust is None, "a protocol without augmentation has no such score"


def test_soft_sets_are_measured_by_their_hard_labels(found: list[Cell]) -> None:
    soft, hard, whole = (
        one(found, "confident-patches"),
        one(found, "confident-patches", "digits-hard"),
        one(found, "whole"),
    )
    assert soft.mean != hard.mean
    assert robust_scores(soft, found).recovery == pytest.approx((whole.mean - hard.mean) / 100)
    without = [cell for cell in found if cell is not hard]
    assert robust_scores(soft, without).label_robust is None


def test_the_table_has_a_row_for_each_cell_with_a_score(found: list[Cell]) -> None:
    table = robust_table(found)
    assert table is not None
    names = [column.title for column in table.columns]
    rows = {(row[names.index("method")], row[names.index("protocol")]) for row in table.rows}
    assert rows == {("MTT", "digits"), ("MTT", "moved"), ("Confident patches", "digits")}
    assert robust_table([cell for cell in found if cell.method == "mtt"]) is None
