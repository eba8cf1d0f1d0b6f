"""Laws of accuracy along distillation: the points are the scores, the seconds a share of the cost."""

import csv
import json
import re
import shutil
from pathlib import Path
from statistics import fmean

import pytest

from dcpipe.report import curves, report_stage
from dcpipe.report.cells import Cell, gather_cells
from dcpipe.workflow import costs
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

EXPERIMENT = """
title: Along
description: Every snapshot is tested.
runs:
  - datasets: [tiny]
    methods: [random, mtt]
    ipc: [1]
    sets: 2
    evaluations: [digits-curve]
    networks: [native]
"""


@pytest.fixture(scope="module")
def along(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets of the experiment `two`, evaluated along the way, in a root of their own."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("along") / "root"))
    (root / "params/experiments/along.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("along"):
        if not job.is_view and not all((root / path).exists() for path in job.outputs.values()):
            execute_job(job, root)
    report_stage.run(graph.make_job("report", experiment="along"), root)
    return root


@pytest.fixture
def cells(along: Path) -> dict[str, Cell]:
    return {cell.method: cell for cell in gather_cells(Graph(along).make_job("report", experiment="along"), along)}


def test_the_points_of_a_cell_are_the_scores_of_its_sets_together(along: Path, cells: dict[str, Cell]) -> None:
    paths = [along / one.evaluation.outputs["scores"] for one in cells["mtt"].sets]
    scores = [json.loads(path.read_text())["curve"] for path in paths]
    assert len(scores) == 2
    for step, points in zip(curves.curve_steps(cells["mtt"]), zip(*scores, strict=True), strict=True):
        assert {point["iteration"] for point in points} == {step.iteration}
        assert list(step.accuracies) == [value for point in points for value in point["accuracies"]]


def test_a_step_took_its_share_of_the_time_of_the_set(along: Path, cells: dict[str, Cell]) -> None:
    noted = [costs.read_costs(along / one.distillation.costs_path) or {} for one in cells["mtt"].sets]
    whole = fmean(float(str(one["seconds"])) for one in noted)
    found = {step.iteration: step.seconds for step in curves.curve_steps(cells["mtt"])}
    assert found == pytest.approx({0: 0.0, 2: whole / 3, 4: whole * 2 / 3, 6: whole}, abs=1e-3)


def test_the_page_draws_both_and_the_table_has_every_point(along: Path) -> None:
    html = (along / "results/along/report.html").read_text()
    assert "Accuracy: tiny, 1 image per class, protocol digits-curve" in html
    assert html.count("<desc>Random: from ") == 2
    for unit in ("iteration", "second"):
        name = f"accuracy-by-{unit}-tiny-ipc1-digits-curve-last-convnet2-w32"
        assert html.count(f"<title>test accuracy in percent by {unit}, tiny, 1 image per class") == 1
        assert f"figures/{name}.svg" in html
        assert (along / f"results/along/figures/{name}.pdf").is_file()
    rows = list(csv.DictReader((along / "results/along/tables/curves.csv").read_text().splitlines()))
    assert [(row["method"], row["iteration"], row["n"]) for row in rows] == [
        ("Random", "0", "4"), *[("MTT", str(at), "4") for at in (0, 2, 4, 6)]
    ]  # fmt: skip


def test_without_every_cost_there_is_no_chart_by_seconds(cells: dict[str, Cell], along: Path) -> None:
    (along / cells["mtt"].sets[0].distillation.costs_path).unlink()
    (charts,) = curves.accuracy_charts(gather_cells(Graph(along).make_job("report", experiment="along"), along))
    assert charts.by_seconds is None
    assert re.findall(r"(\w+): from", charts.by_iteration.description) == ["Random", "MTT"]


def test_an_experiment_whose_snapshots_are_not_tested_has_no_curves(made: Path) -> None:
    found = gather_cells(Graph(made).make_job("report", experiment="two"), made)
    assert curves.accuracy_charts(found) == []
    assert curves.curve_table(found) is None
