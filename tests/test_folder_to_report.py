"""A folder of odd images becomes a report with one params file: the one that docs/data.md shows."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import repository
from dcpipe.errors import UserError
from dcpipe.params import experiment_file
from dcpipe.provenance import artifact
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.runner import ExperimentRunner

COLOURS = {"robin": (200, 60, 40), "wren": (60, 160, 200)}


def _photographs(place: Path) -> None:
    """Two classes of spots on noise, no two of one size; one file is grey, half are JPEG."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (place / name).mkdir(parents=True)
        for number in range(12):
            height, width = random.integers(20, 60, 2)
            pixels = 40 + random.normal(0, 15, (height, width, 3))
            pixels[height // 4 : -height // 4, width // 4 : -width // 4] += np.array(colour) - 40
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image = image.convert("L") if (name, number) == ("wren", 5) else image
            image.save(place / name / f"{number}.{'jpg' if number % 2 else 'png'}")


def _example() -> str:
    """The worked example of the documentation."""
    blocks = re.findall(r"```yaml\n(.*?)```", (repository.ROOT / "docs/data.md").read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if block.startswith("title:")]
    return found


def test_a_folder_of_odd_images_becomes_a_report_by_the_documented_file(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    _photographs(elsewhere / "birds")
    (elsewhere / "garden.yaml").write_text(_example())
    monkeypatch.setenv("DCPIPE_DATA", str(elsewhere))
    file = experiment_file.load_experiment(root, str(elsewhere / "garden.yaml"))
    graph = Graph(root, file.inline_sections)
    outcomes = list(ExperimentRunner(graph).run_experiment(file.name))
    assert {outcome.state for outcome in outcomes} == {"made"}
    assert outcomes[-1].job.stage == "report"
    assert "MTT" in outcomes[-1].text
    facts = artifact.read_card(root / "artifacts/data/birds/train.zarr")["facts"]
    assert (facts["classes"], facts["converted"], facts["resized"]) == (["robin", "wren"], 1, 24)
    page = (root / "results/garden/report.html").read_text()
    assert "params/datasets/birds.yaml" in page
    assert "<figcaption>robin</figcaption>" in page
    assert "class 1, wren: " in page
    assert str(elsewhere) not in page
    shutil.rmtree(root / "artifacts/experts")
    assert {o.job.stage: o.state for o in ExperimentRunner(graph).run_experiment(file.name)}["experts"] == "made"


def test_what_is_brought_along_may_not_hide_what_is_there(tmp_path: Path) -> None:
    for section, name in (("datasets", "digits"), ("experts", "plain"), ("evaluations", "mtt"), ("presets", "mtt")):
        path = tmp_path / "mine.yaml"
        path.write_text(f"title: a\ndescription: b\n{section}: {{{name}: {{base: {name}}}}}\nruns: []\n")
        with pytest.raises(UserError) as caught:
            experiment_file.load_experiment(repository.ROOT, str(path))
        assert f"{section}.{name}: {name} has another definition in params/" in str(caught.value)
        assert "(base differs); choose another name, or make both definitions equal" in str(caught.value)


def test_values_brought_along_are_checked_as_any(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(_example().replace("batch: 8", "batch: 8, epoch: 3").replace("epochs: 4, ", ""))
    file = experiment_file.load_experiment(repository.ROOT, str(path))
    with pytest.raises(UserError, match=r"mine\.yaml: experts\.birds-plain: unknown key epoch; did you mean epochs"):
        Graph(repository.ROOT, file.inline_sections).experiment_jobs(file.name)


def test_overrides_may_speak_of_a_dataset_that_is_brought_along(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    preset = "outer: {iterations: 10, snapshot_every: 5}"
    path.write_text(_example().replace(preset, "overrides: {birds: {ipc1: {outer: {iterations: 7}}}}"))
    graph = Graph(repository.ROOT, experiment_file.load_experiment(repository.ROOT, str(path)).inline_sections)
    assert graph.library.method("mtt-birds", "birds", 1)[1].outer.iterations == 7
    assert graph.library.method("mtt-birds", "birds", 2)[1].outer.iterations == 5000
