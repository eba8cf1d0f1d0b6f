"""Laws of the evaluate stage: who chooses, by what, and what a number says of itself."""

import json
import shutil
import statistics
from pathlib import Path

import pytest

import repository
from dcpipe.data import arrays, store
from dcpipe.evaluation import selection
from dcpipe.params.library import ParamsLibrary
from dcpipe.provenance import artifact

Scores = dict[str, object]


def _scores(root: Path, evaluation: str, *, method: str = "mtt", ipc: int = 1) -> Scores:
    words = {**repository.CELL, "method": method, "ipc": ipc, "evaluation": evaluation, "network": "native"}
    job = repository.make(root, "evaluate", **words)
    return dict(json.loads((root / job.outputs["scores"]).read_text()))


def _with_other_test_labels(root: Path) -> None:
    """Publish the dataset again with its test labels turned by one class."""
    folder = root / "artifacts/data/tiny"
    card = artifact.read_card(folder / "test.zarr")
    pixels, labels = (arrays.read(folder / "test.zarr/test", name) for name in ("images", "labels"))
    with artifact.draft_artifact(folder) as draft:
        shutil.copytree(folder / "train.zarr", draft.path("train.zarr"))
        there = draft.path("test.zarr")
        store.write(there, "test", (labels + 1) % 10, pixels.shape[1:], lambda a, b: pixels[a:b])
        store.write_attributes(there, classes=10, standardisation=store.standardisation(folder / "train.zarr"))
        draft.publish(card)


@pytest.fixture(scope="module")
def scored(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root to evaluate in."""
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("scored") / "root"))


def test_selection_on_validation_does_not_look_at_test(scored: Path, tiny: Path) -> None:
    """Test labels decide the score and nothing of the choice."""
    before = _scores(scored, "digits-val-best")
    _with_other_test_labels(tiny)
    after = _scores(tiny, "digits-val-best")
    assert after["iteration"] == before["iteration"]
    assert after["accuracies"] != before["accuracies"]


def test_selection_on_test_does_look_at_test(scored: Path, tiny: Path) -> None:
    """The law above could fail: for legacy-max the same change changes the choice."""
    choices = []
    for root in (scored, tiny):
        if root == tiny:
            _with_other_test_labels(tiny)
        choices += [_scores(root, "digits-legacy-max", ipc=ipc)["iteration"] for ipc in (1, 2)]
    assert choices[:2] != choices[2:]


@pytest.mark.parametrize(("method", "ipc"), [("mtt", 1), ("mtt", 2), ("random", 1)])
def test_the_best_on_test_is_no_worse_than_the_last(method: str, ipc: int, scored: Path) -> None:
    """Every set of a job is measured by the same networks, and the finished set is among the snapshots."""
    best = _scores(scored, "digits-legacy-max", method=method, ipc=ipc)
    last = _scores(scored, "digits", method=method, ipc=ipc)
    assert float(str(best["mean"])) >= float(str(last["mean"]))
    if best["iteration"] == {"mtt": 6, "random": 0}[method]:
        assert best["accuracies"] == last["accuracies"]


@pytest.mark.parametrize(("method", "snapshots"), [("mtt", [0, 2, 4, 6]), ("random", [0])])
def test_a_curve_tests_every_snapshot_and_chooses_none(method: str, snapshots: list[int], scored: Path) -> None:
    along = _scores(scored, "digits-curve", method=method)
    last = _scores(scored, "digits", method=method)
    best = _scores(scored, "digits-legacy-max", method=method)
    points = along["curve"]
    assert isinstance(points, list)
    assert [point["iteration"] for point in points] == snapshots
    assert along["accuracies"] == points[-1]["accuracies"] == last["accuracies"]
    assert max(statistics.fmean(point["accuracies"]) for point in points) == best["mean"]
    assert along["selection"] == "last"


def test_every_selection_gives_a_coreset_the_same_number(scored: Path) -> None:
    found = [_scores(scored, name, method="random") for name in ("digits", "digits-val-best", "digits-legacy-max")]
    assert found[0]["accuracies"] == found[1]["accuracies"] == found[2]["accuracies"]


def test_the_best_of_equals_is_the_earliest_and_is_tested_once(made: Path) -> None:
    answers = {("val", 0): [50.0, 60.0], ("val", 2): [70.0, 50.0], ("val", 4): [60.0, 60.0], ("test", 2): [1.0, 2.0]}
    asked = []

    def measure(on: str, iteration: int, synthetic: object) -> list[float]:
        asked.append((on, iteration))
        return answers[on, iteration]

    outcome = selection.best_of({0: None, 2: None, 4: None}, "val", measure)
    assert outcome == selection.SelectionResult([1.0, 2.0], 2)
    assert asked == [("val", 0), ("val", 2), ("val", 4), ("test", 2)]


def test_a_score_says_how_it_was_made(scored: Path) -> None:
    for name, chosen in (("digits", "last"), ("digits-val-best", "val-best"), ("digits-legacy-max", "legacy-max")):
        found = _scores(scored, name)
        accuracies = found["accuracies"]
        assert isinstance(accuracies, list)
        assert (found["selection"], found["network"], found["n"]) == (chosen, "convnet2-w32", len(accuracies))
        assert found["mean"] == statistics.fmean(accuracies)
        assert found["std"] == statistics.pstdev(accuracies)
        assert ("iteration" in found) == (chosen != "last")


def test_more_networks_leave_the_first_ones_alone(tiny: Path) -> None:
    two = _scores(tiny, "digits")["accuracies"]
    repository.set_params(tiny, "evaluations/digits.yaml", {"overrides.tiny.networks": 3})
    three = _scores(tiny, "digits")["accuracies"]
    assert isinstance(three, list)
    assert (three[:2], len(three)) == (two, 3)


def test_metrics_pool_every_network_of_every_set_of_a_cell(tiny: Path) -> None:
    repository.set_params(
        tiny,
        "experiments/tiny.yaml",
        {"runs": [{**ParamsLibrary(tiny).experiment("tiny")[0].tree()["runs"][0], "sets": 2, "methods": ["random"]}]},
    )
    job = repository.make_inputs(tiny, "metrics", experiment="tiny")
    repository.make(tiny, "metrics", experiment="tiny")
    metrics = json.loads((tiny / job.outputs["metrics"]).read_text())
    assert sorted(metrics) == [f"tiny/random/ipc{ipc}/digits/native" for ipc in (1, 2)]
    for ipc in (1, 2):
        pooled = []
        for number in (0, 1):
            path = tiny / f"artifacts/scores/tiny/random/ipc{ipc}/set{number}/digits/native/scores.json"
            pooled += json.loads(path.read_text())["accuracies"]
        assert metrics[f"tiny/random/ipc{ipc}/digits/native"] == {
            "mean": statistics.fmean(pooled),
            "std": statistics.pstdev(pooled),
            "n": 4,
        }


def test_sets_of_a_cell_differ_and_all_histories_have_the_same_columns(tiny: Path) -> None:
    columns = []
    for method in ("random", "mtt"):
        jobs = [repository.make(tiny, "distill", **{**repository.CELL, "method": method, "set": i}) for i in (0, 1)]
        first, second = (repository.bytes_below(tiny / job.folder)["synthetic.safetensors"] for job in jobs)
        assert first != second
        columns += [(tiny / job.outputs["history"]).read_text().splitlines()[0] for job in jobs]
    assert len(set(columns)) == 1
