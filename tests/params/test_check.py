"""Impossible combinations are refused when a job is planned, with file and key, before anything is spent."""

from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.workflow.graph import Graph

MTT, PLAIN, TINY = "methods/mtt.yaml", "experts/plain.yaml", "datasets/tiny.yaml"
SPLIT = "params/datasets/tiny.yaml: split.test_per_class"
SEGMENT = "params/methods/mtt.yaml: overrides.tiny.matching.segment.max_start_epoch"

IMPOSSIBLE = {
    "a segment past the last epoch": (
        {MTT: {"overrides.tiny.matching.segment.max_start_epoch": 4}},
        f"{SEGMENT}: segments end at epoch 5, but experts train for 4 epochs; "
        "lower max_start_epoch or span_epochs, or raise epochs in params/experts/plain.yaml",
    ),
    "a segment's end that is not kept": (
        {PLAIN: {"overrides.tiny.kept_epochs": "0-2,4"}},
        f"{SEGMENT}: epoch 3 is needed but not in kept_epochs; add it to kept_epochs in params/experts/plain.yaml",
    ),
    "a segment's start that is not kept": (
        {PLAIN: {"overrides.tiny.kept_epochs": "1-4"}},
        f"{SEGMENT}: epoch 0 is needed but not in kept_epochs; add it to kept_epochs in params/experts/plain.yaml",
    ),
    "a kept epoch that is never reached": (
        {PLAIN: {"overrides.tiny.kept_epochs": "0-6"}},
        "params/experts/plain.yaml: overrides.tiny.kept_epochs: epoch 5 is never reached: training ends at epoch 4; "
        "keep epochs up to 4",
    ),
    "shards that are not whole": (
        {PLAIN: {"overrides.tiny.count": 3, "overrides.tiny.shard_experts": 2}},
        "params/experts/plain.yaml: overrides.tiny.count: 3 experts do not fill whole shards; "
        "make count a multiple of 2",
    ),
    "a split that takes more than there is": (
        {TINY: {"split.train_per_class": 160}},
        f"{SPLIT}: takes 192 images of each class, but the rarest class has 174; lower one of the counts of split",
    ),
    "a split that leaves nothing to train on": (
        {TINY: {"split.test_per_class": 166, "split.train_per_class": None}},
        f"{SPLIT}: takes 175 images of each class, but the rarest class has 174; lower one of the counts of split",
    ),
    "constants for other channels": (
        {TINY: {"standardise": {"kind": "constants", "mean": [0.1, 0.2], "std": [0.3]}}},
        "params/datasets/tiny.yaml: standardise.mean: has 2 values; images have 1 channel; "
        "write one value per channel, or kind: from-train",
    ),
    "a network too deep for the images": (
        {TINY: {"network": "convnet4-w32"}},
        "params/datasets/tiny.yaml: network: convnet4-w32 halves its images 4 times, 8x8 pixels allow 3; "
        "take a depth of at most 3, or nopool",
    ),
    "experts of a network too deep for the images": (
        {PLAIN: {"network": "convnet5"}},
        "params/experts/plain.yaml: network: convnet5 halves its images 5 times, 8x8 pixels allow 3; "
        "take a depth of at most 3, or nopool",
    ),
    "a compiled unrolled hypergradient": (
        {MTT: {"matching.hypergradient": {"kind": "unrolled"}, "compute.backend": "compiled"}},
        "params/methods/mtt.yaml: compute.backend: has no effect on the unrolled hypergradient; write eager",
    ),
    "experts that no file describes": (
        {MTT: {"matching.experts": "plane"}},
        "params/experts/plane.yaml: there is no experts file named 'plane'; did you mean plain?",
    ),
}


def _refusal(root: Path, stage: str, **words: str | int) -> str:
    with pytest.raises(UserError) as caught:
        Graph(root).make_job(stage, **words)
    return str(caught.value)


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_work_is_refused_when_it_is_planned(name: str, root: Path) -> None:
    edits, told = IMPOSSIBLE[name]
    for file, values in edits.items():
        repository.set_params(root, file, values)
    with pytest.raises(UserError) as caught:
        Graph(root).experiment_jobs("tiny")
    assert str(caught.value) == told


@pytest.mark.parametrize("method", ["random", "mtt"])
def test_more_images_a_class_than_the_training_part_has_are_refused(method: str, root: Path) -> None:
    cell = {**repository.CELL, "method": method}
    Graph(root).make_job("distill", **{**cell, "ipc": 16})
    told = _refusal(root, "distill", **{**cell, "ipc": 17})
    assert told == (
        f"params/methods/{method}.yaml: 17 images per class are more than the training part has; ask for at most 16"
    )


def test_the_training_part_is_what_test_and_validation_leave(root: Path) -> None:
    cell = {**repository.CELL, "method": "random", "dataset": "digits-val"}
    Graph(root).make_job("distill", **{**cell, "ipc": 174 - 80 - 16})
    assert "ask for at most 78" in _refusal(root, "distill", **{**cell, "ipc": 79})


def test_selection_on_validation_needs_validation_images(root: Path) -> None:
    protocol = {"evaluation": "digits-val-best", "network": "native"}
    Graph(root).make_job("evaluate", **repository.CELL, **protocol)
    repository.set_params(root, TINY, {"split.validation_per_class": 0})
    assert _refusal(root, "evaluate", **repository.CELL, **protocol) == (
        "params/evaluations/digits-val-best.yaml: selection: val-best needs validation images and the dataset has "
        "none; use a dataset variant with split.validation_per_class above 0"
    )


def test_an_evaluation_network_must_take_the_images(root: Path) -> None:
    for network, words in (("convnet4", "halves its images 4 times"), ("resnet18", "has no layout for images of 8x8")):
        assert words in _refusal(root, "evaluate", **repository.CELL, evaluation="digits", network=network)


def test_a_shard_beyond_the_last_is_refused(root: Path) -> None:
    Graph(root).make_job("experts", dataset="tiny", experts="plain", shard=1)
    told = _refusal(root, "experts", dataset="tiny", experts="plain", shard=2)
    assert told.endswith("overrides.tiny.count: there is no shard 2: these experts have 2; name a shard from 0 to 1")


def test_experts_of_which_nothing_is_kept_are_refused(root: Path) -> None:
    repository.set_params(root, PLAIN, {"overrides.tiny.kept_epochs": "3-1"})
    told = "overrides.tiny.kept_epochs: 3-1 names no epoch; write an ascending range, such as 0-6"
    assert _refusal(root, "experts", dataset="tiny", experts="plain", shard=0) == f"params/experts/plain.yaml: {told}"


def test_an_experiment_is_checked_whole_before_its_first_job(root: Path) -> None:
    repository.set_params(root, MTT, {"overrides.tiny.ipc2": {"matching": {"segment": {"span_epochs": 4}}}})
    with pytest.raises(UserError, match="segments end at epoch 5"):
        Graph(root).experiment_jobs("tiny")


def test_images_that_would_not_move_are_refused_before_their_momentum(root: Path) -> None:
    repository.set_params(root, "methods/mtt.yaml", {"overrides.tiny.ipc1.outer.images.optimiser.learning_rate": 0.0})
    message = _refusal(root, "distill", **repository.CELL)
    assert "overrides.tiny.ipc1.outer.images.optimiser.learning_rate: " in message
