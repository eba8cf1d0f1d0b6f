"""Applications on the tiny dataset, from params to the report: equal to ordinary evaluation where they must be."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.evaluation.applications import trials
from dcpipe.report import report_stage
from dcpipe.workflow import stopping
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

APPLICATIONS = {
    "halves": """
description: Two steps.
seed: 0
task: {kind: class-incremental, steps: 2, orders: 2, network: native}
""",
    "four": """
description: Four ConvNets, one of them the dataset's own.
seed: 0
task:
  kind: architecture-search
  depths: [1, 2]
  widths: [8, 32]
  activations: [relu]
  norms: [instance]
  poolings: [avgpool]
  sample: null
  part_size: 2
  reference: search
""",
}
EXPERIMENT = """
title: Applied
description: Random images and MTT in other uses.
runs:
  - {datasets: [tiny], methods: [random, mtt], ipc: [1, 2], sets: 1, evaluations: [digits], networks: [native]}
application_runs:
  - {applications: [halves], datasets: [tiny], methods: [random, mtt], ipc: [1], sets: 1, evaluations: [digits]}
  - {applications: [four], datasets: [tiny], methods: [mtt], ipc: [1], sets: 1, evaluations: [digits]}
  - {applications: [four], datasets: [tiny], methods: [whole], ipc: [1], sets: 1, evaluations: [search]}
"""
SET = {"dataset": "tiny", "method": "mtt", "ipc": 1, "set": 0, "evaluation": "digits"}


def write_params(root: Path) -> None:
    for name, text in APPLICATIONS.items():
        (root / f"params/applications/{name}.yaml").write_text(text)
    (root / "params/experiments/applied.yaml").write_text(EXPERIMENT)


@pytest.fixture(scope="module")
def applied(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with every artifact and view of the experiment `applied`."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("applied") / "root"))
    write_params(root)
    graph = Graph(root)
    for job in graph.experiment_jobs("applied"):
        if not job.is_view and not (root / job.outputs["card"]).is_file():
            execute_job(job, root)
    report_stage.run(graph.make_job("report", experiment="applied"), root)
    return root


def results(root: Path, application: str, part: int) -> dict[str, list[dict[str, object]]]:
    job = Graph(root).make_job("apply", application=application, part=part, **SET)
    return json.loads((root / job.outputs["results"]).read_text())


def ordinary(root: Path) -> list[float]:
    job = Graph(root).make_job("evaluate", network="native", **SET)
    return json.loads((root / job.outputs["scores"]).read_text())["accuracies"]


def test_the_last_step_is_ordinary_evaluation_of_the_union(applied: Path) -> None:
    orders = [results(applied, "halves", part)["steps"] for part in range(2)]
    assert [steps[-1]["accuracies"] for steps in orders] == [ordinary(applied)] * 2
    assert [[step["images"] for step in steps] for steps in orders] == [[5, 10]] * 2
    assert orders[0][0]["classes"] != orders[1][0]["classes"]


def test_a_candidate_scores_what_ordinary_evaluation_says(applied: Path) -> None:
    parts = [results(applied, "four", part)["candidates"] for part in range(2)]
    found = {one["network"]: one["accuracies"] for part in parts for one in part}
    assert set(found) == {"convnet1-w8", "convnet1-w32", "convnet2-w8", "convnet2-w32"}
    assert found["convnet2-w32"] == ordinary(applied)


def test_the_report_shows_every_application_and_the_ceiling_ranks_itself(applied: Path) -> None:
    folder = applied / "results/applied/tables"
    rows = list(csv.DictReader((folder / "architecture-search.csv").read_text().splitlines()))
    whole = next(row for row in rows if row["method"] == "Whole")
    assert {whole["all"], whole["real top 5"], whole["own top 5"]} == {"1.0"}
    assert {row["candidates"] for row in rows} == {"4"}
    steps = list(csv.DictReader((folder / "continual-learning.csv").read_text().splitlines()))
    assert [(row["method"], row["classes seen"], row["n"]) for row in steps] == [
        *(("Random", "5", "4"), ("Random", "10", "2")),  # after the last step both orders have the same networks
        *(("MTT", "5", "4"), ("MTT", "10", "2")),
    ]
    assert float(steps[-1]["mean"]) == pytest.approx(sum(ordinary(applied)) / 2)
    page = (applied / "results/applied/report.html").read_text()
    assert 'id="uses"' in page
    assert "continual-halves-tiny-digits-1.svg" in page


@pytest.mark.slow
def test_real_pixels_count_one_byte_distilled_ones_four(applied: Path) -> None:
    rows = csv.DictReader((applied / "results/applied/tables/stored-bytes.csv").read_text().splitlines())
    sizes = {(row["method"], row["images"]): int(row["stored (bytes)"]) for row in rows}
    pixels = 10 * 8 * 8
    assert sizes["Random", "1 image per class"] == pixels + 10
    assert sizes["Random", "2 images per class"] == 2 * (pixels + 10)
    assert sizes["MTT", "1 image per class"] == 4 * pixels + 10


def test_a_part_stopped_midway_goes_on_to_the_same_bytes(applied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Graph(applied).make_job("apply", application="four", part=1, **SET)
    before = (applied / job.outputs["results"]).read_bytes()
    asked = iter([True])
    monkeypatch.setattr(trials, "stop_requested", lambda: next(asked, False))
    with pytest.raises(stopping.Interrupted):
        execute_job(job, applied)
    trained = []
    from dcpipe.evaluation.applications.trials import Trials

    measure = Trials._measure
    monkeypatch.setattr(
        Trials, "_measure", lambda self, name, *rest: trained.append(name) or measure(self, name, *rest)
    )
    execute_job(job, applied)
    assert (applied / job.outputs["results"]).read_bytes() == before
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("applications/halves.yaml", {"task.steps": 11}, "task.steps: 11 steps are more than the 10 classes"),
        ("applications/four.yaml", {"task.sample": 5}, "task.sample: 5 are more than the 4 ConvNets of the space"),
        ("applications/four.yaml", {"task.depths": [7, 8]}, "task.depths: 0 of these ConvNets fit images of 8x8"),
        ("applications/four.yaml", {"task.widths": [8, 8]}, "8 is listed twice; remove one of them"),
        (
            "applications/four.yaml",
            {"task.reference": "dsa"},
            "application_runs: four has no ranking by all real images of tiny to compare with; add a run with "
            r"methods: \[whole\], evaluations: \[dsa\]",
        ),
    ],
)
def test_an_impossible_application_is_refused_at_planning(
    root: Path, file: str, values: dict[str, object], message: str
) -> None:
    write_params(root)
    repository.set_params(root, file, values)
    with pytest.raises(UserError, match=message):
        Graph(root).experiment_jobs("applied")


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("digits-legacy-max", "selection: an application uses the finished set; name a protocol whose selection is"),
        ("digits-searched", "learning_rate.kind: an application trains at one learning rate; name a protocol whose"),
    ],
)
def test_a_protocol_that_chooses_is_refused(root: Path, protocol: str, message: str) -> None:
    write_params(root)
    cell = {**SET, "evaluation": protocol}
    with pytest.raises(UserError, match=message):
        Graph(root).make_job("apply", application="halves", part=0, **cell)


def test_a_part_that_is_not_there_is_refused(root: Path) -> None:
    write_params(root)
    with pytest.raises(UserError, match="there is no part 2: this application of tiny has 2; name a part from 0 to 1"):
        Graph(root).make_job("apply", application="halves", part=2, **SET)
