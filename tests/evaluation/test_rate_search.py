"""Laws of the learning-rate search: validation images choose, test images are asked once, and the scores tell."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import repository
from dcpipe.errors import NonFiniteError, UserError
from dcpipe.evaluation.accuracy_measurer import AccuracyMeasurer
from dcpipe.params.strict_yaml import Value
from dcpipe.workflow.graph import Graph

FILE = "evaluations/digits-searched.yaml"
CELL = {**repository.CELL, "evaluation": "digits-searched", "network": "native"}


def _scores(root: Path, values: Sequence[float], **words: str) -> dict[str, Value]:
    repository.set_params(root, FILE, {"learning_rate.values": list(values)})
    job = repository.make(root, "evaluate", **{**CELL, **words})
    return dict(json.loads((root / job.outputs["scores"]).read_text()))


def _fixed(root: Path, rate: float) -> dict[str, Value]:
    repository.set_params(root, "evaluations/digits.yaml", {"learning_rate": {"kind": "fixed", "value": rate}})
    job = repository.make(root, "evaluate", **{**CELL, "evaluation": "digits"})
    return dict(json.loads((root / job.outputs["scores"]).read_text()))


def test_the_rate_that_does_best_on_validation_is_the_one_that_is_tested(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, str]] = []
    at = AccuracyMeasurer._accuracies_at
    monkeypatch.setattr(AccuracyMeasurer, "_accuracies_at", lambda *given: asked.append(given[1:3]) or at(*given))
    rates = (1e-4, 1e-2, 5e-2)
    found = _scores(tiny, rates)
    searched = {row["learning_rate"]: row["validation_mean"] for row in found["searched"]}
    best = found["learning_rate"]
    assert tuple(searched) == rates
    assert searched[best] == max(searched.values()) > min(searched.values())
    assert asked == [*((rate, "val") for rate in rates), (best, "test")]
    assert found["accuracies"] == _fixed(tiny, best)["accuracies"], "the same networks as at a fixed rate"


def test_a_rate_at_which_networks_are_not_finite_is_out_of_the_race(tiny: Path) -> None:
    found = _scores(tiny, (1e-2, 1e30))
    assert found["learning_rate"] == 1e-2
    assert found["searched"][1] == {"learning_rate": 1e30, "validation_mean": None}
    with pytest.raises(NonFiniteError, match=r"diverge .* at every rate; add a smaller rate to learn"):
        _scores(tiny, (1e29, 1e30))


def test_a_search_and_a_choice_of_snapshots_are_one_search_over_both(tiny: Path) -> None:
    repository.set_params(tiny, FILE, {"selection": "val-best"})
    found = _scores(tiny, (1e-3, 5e-2))
    assert {"iteration", "learning_rate", "searched"} <= found.keys()


def test_a_search_needs_validation_images(root: Path) -> None:
    Graph(root).make_job("evaluate", **CELL)
    repository.set_params(root, "datasets/tiny.yaml", {"split.validation_per_class": 0})
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("evaluate", **CELL)
    assert str(caught.value) == (
        "params/evaluations/digits-searched.yaml: learning_rate.kind: searched needs validation images and the "
        "dataset has none; use a dataset variant with split.validation_per_class above 0"
    )


@pytest.mark.parametrize("values", [[0.01], [0.05, 0.01], [0.01, 0.01], []])
def test_a_list_that_is_no_choice_is_refused(values: list[float], root: Path) -> None:
    repository.set_params(root, FILE, {"learning_rate.values": values})
    with pytest.raises(UserError, match=r"^params/evaluations/digits-searched\.yaml: learning_rate"):
        Graph(root).make_job("evaluate", **CELL)
