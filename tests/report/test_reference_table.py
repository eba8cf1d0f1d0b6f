"""The comparison with a named method: noise is a tie, MTT against random images is none."""

import csv
import shutil
from pathlib import Path

import pytest

from dcpipe.errors import UserError
from dcpipe.report import report_stage
from dcpipe.report.reference_table import experiment_reference_table
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

AGAIN = "base: random\ndescription: Other random images.\nlabel: random again\n"
EXPERIMENT = """
title: Compared
description: Random images twice, and MTT.
reference: random-again
runs:
  - datasets: [tiny]
    methods: [random, random-again, mtt]
    ipc: [1]
    sets: 3
    evaluations: [digits]
    networks: [native, mlp]
"""


@pytest.fixture(scope="module")
def compared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with every artifact and view of the experiment `compared`."""
    root = shutil.copytree(made, tmp_path_factory.mktemp("compared") / "root")
    (root / "params/methods/random-again.yaml").write_text(AGAIN)
    (root / "params/experiments/compared.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("compared"):
        if not job.is_view:
            execute_job(job, root)
    report_stage.run(graph.make_job("report", experiment="compared"), root)
    return root


def verdicts(root: Path, reference: str | None = None) -> dict[tuple[str, str], str]:
    """The verdict by method and network."""
    table = experiment_reference_table(Graph(root).make_job("report", experiment="compared"), root, reference)
    names = [column.title for column in table.columns]
    method, network, verdict = (names.index(name) for name in ("method", "network", "verdict"))
    return {(str(row[method]), str(row[network])): str(row[verdict]) for row in table.rows}


@pytest.mark.slow
def test_other_random_images_tie_with_random_and_mtt_does_not(compared: Path) -> None:
    networks = ("convnet2-w32", "mlp", "all 2 networks")
    expected = {("Random", name): "tie" for name in networks} | {("MTT", name): "above" for name in networks}
    assert verdicts(compared) == expected
    assert {verdicts(compared, "mtt")["Random", name] for name in networks} == {"below"}


def test_the_report_writes_the_comparison_and_marks_ties(compared: Path) -> None:
    folder = compared / "results/compared"
    with (folder / "tables/comparison-random-again.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["verdict"] for row in rows if row["method"] == "Random"] == ["tie"] * 3
    assert "& tie" in (folder / "tables/comparison-random-again.tex").read_text()
    headline = (folder / "tables/headline-digits-last-mlp.tex").read_text()
    assert "=: within two standard errors of random again, a tie" in headline
    page = (folder / "report.html").read_text()
    assert "Comparison with random again" in page
    assert "SE, a tie)" in page


def test_the_reference_makes_no_artifact_stale(compared: Path) -> None:
    file = compared / "params/experiments/compared.yaml"
    before = {job.name: job.params for job in Graph(compared).experiment_jobs("compared")}
    file.write_text(file.read_text().replace("reference: random-again", "reference: mtt"))
    after = {job.name: job.params for job in Graph(compared).experiment_jobs("compared")}
    file.write_text(EXPERIMENT)
    assert [name for name, params in after.items() if params != before[name]] == ["report_compared"]


@pytest.mark.slow
def test_a_reference_that_is_not_there_is_refused_with_those_that_are(compared: Path) -> None:
    with pytest.raises(UserError, match="dm is not a method of this experiment; name one of mtt, random, random-again"):
        verdicts(compared, "dm")
    file = compared / "params/experiments/compared.yaml"
    file.write_text(EXPERIMENT.replace("reference: random-again", "reference: dm"))
    with pytest.raises(UserError, match=r"compared.yaml: reference: dm is not a method of this experiment"):
        Graph(compared).make_job("report", experiment="compared")
    file.write_text(EXPERIMENT)
