"""A score of images with pixels far out of range is marked wherever it stands; others are not."""

import csv
import shutil
from pathlib import Path

import pytest

import repository
from dcpipe.distillation.pixel_range import is_far_out_of_range
from dcpipe.provenance import artifact
from dcpipe.report import report_stage
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

HOT = """
base: dm
description: A learning rate that nobody means.
label: Hot
outer: {iterations: 3, snapshot_every: 3, images: {optimiser: {learning_rate: 1.0e+12}}}
"""
EXPERIMENT = """
title: Hot
description: Images that leave the range of any picture.
runs:
  - {datasets: [tiny], methods: [random, hot], ipc: [1], sets: 1, evaluations: [one-network], networks: [native]}
"""


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A root with the experiment, made for real, and what the terminal prints."""
    root = tmp_path_factory.mktemp("hot")
    shutil.copytree(repository.ROOT / "params", root / "params")
    shutil.copy(repository.ROOT / "constraints.txt", root)
    (root / "params/methods/hot.yaml").write_text(HOT)
    (root / "params/experiments/hot.yaml").write_text(EXPERIMENT)
    protocol = "base: digits\ndescription: Quick.\nnetworks: 1\nepochs: 1\n"
    (root / "params/evaluations/one-network.yaml").write_text(protocol)
    graph = Graph(root)
    for job in graph.experiment_jobs("hot"):
        if not job.is_view:
            execute_job(job, root)
    return root, report_stage.run(graph.make_job("report", experiment="hot"), root)


def _range(root: Path, method: str) -> tuple[float, float]:
    card = artifact.read_card(root / f"artifacts/synthetic/tiny/{method}/ipc1/set0/synthetic.safetensors")
    low, high = card["facts"]["pixel_range"]
    return low, high


def test_the_card_holds_the_range_of_the_pixels(hot: tuple[Path, str]) -> None:
    root, _ = hot
    low, high = _range(root, "random")
    assert low == pytest.approx(0.0, abs=1e-6)  # real digits have both black and white
    assert high == pytest.approx(1.0, abs=1e-2)
    low, high = _range(root, "hot")
    assert min(-low, high) > 1e6


def test_every_table_marks_the_cell_and_no_other(hot: tuple[Path, str]) -> None:
    root, printed = hot
    results = root / "results/hot"
    headline = next((results / "tables").glob("headline-*.csv")).read_text()
    assert [line.count("! ") for line in headline.splitlines()] == [0, 0, 1]
    with (results / "tables/cells.csv").open(newline="") as handle:
        assert [row["pixels"].startswith("! ") for row in csv.DictReader(handle)] == [False, True]
    with (results / "summary.csv").open(newline="") as handle:
        rows = {row["method"]: float(row["pixel_high"]) for row in csv.DictReader(handle)}
    assert rows["hot"] > 1e6 > rows["random"]
    lines = printed.splitlines()
    assert [line for line in lines if "! " in line and "Hot" in line]
    assert not [line for line in lines if "! " in line and "Random" in line]
    assert "Images with pixels far out of range are marked !: Hot on tiny" in printed


def test_the_page_says_it_beside_the_number_and_among_the_limits(hot: tuple[Path, str]) -> None:
    root, _ = hot
    page = (root / "results/hot/report.html").read_text()
    assert "<b>Pixels far out of range.</b> Images with pixels far out of range are marked !: Hot on tiny" in page
    assert page.count('title="images with pixels far out of range"') == 1
    assert "<h3>Images with pixels far out of range</h3>" in page


def test_a_report_of_ordinary_images_has_no_mark(made: Path) -> None:
    page = (made / "results/two/report.html").read_text()
    assert "pixels far out of range" not in page
    assert "pixels" not in (made / "results/two/tables/cells.csv").read_text().splitlines()[0]


def test_what_is_no_number_is_no_picture_either() -> None:
    nan = float("nan")
    assert [is_far_out_of_range(pixels) for pixels in ((0.0, 1.0), (-99.0, 100.0))] == [False, False]
    assert [is_far_out_of_range(pixels) for pixels in ((-101.0, 1.0), (0.0, 102.0), (nan, nan))] == [True, True, True]
