"""Laws of mosaics of confident patches."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import digits

from dcpipe.distillation import synthetic_set
from dcpipe.distillation.coresets.patches import mosaic, random_crops, resized
from dcpipe.errors import UserError
from dcpipe.provenance.artifact import read_card
from dcpipe.provenance.card_fields import facts_of
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from repository import ROOT


def test_a_mosaic_of_one_patch_is_the_patch() -> None:
    images, _ = digits(5)
    assert torch.equal(mosaic(images, 1), images)


def test_patches_lie_row_by_row_at_half_their_size() -> None:
    images, _ = digits(8)
    whole = mosaic(images, 2)
    small = resized(images, 4)
    assert whole.shape == (2, 1, 8, 8)
    assert torch.equal(whole[0, :, :4, :4], small[0])
    assert torch.equal(whole[0, :, :4, 4:], small[1])
    assert torch.equal(whole[0, :, 4:, :4], small[2])
    assert torch.equal(whole[1, :, 4:, 4:], small[7])
    torch.testing.assert_close(whole.mean(), images.mean(), rtol=0.05, atol=0)


def test_crops_of_the_whole_area_are_the_images() -> None:
    images, _ = digits(6)
    assert torch.equal(random_crops(images, 1.0, torch.Generator().manual_seed(0)), images)


def test_a_crop_has_no_value_beyond_its_images() -> None:
    images, _ = digits(30)
    crops = random_crops(images, 0.3, torch.Generator().manual_seed(0))
    assert not torch.equal(crops, images)
    assert bool((crops.amax((1, 2, 3)) <= images.amax((1, 2, 3)) + 1e-9).all())
    assert bool((crops.amin((1, 2, 3)) >= images.amin((1, 2, 3)) - 1e-9).all())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the data and the experts of tiny."""
    root = tmp_path_factory.mktemp("patches")
    shutil.copytree(ROOT / "params", root / "params")
    shutil.copy(ROOT / "constraints.txt", root)
    graph = Graph(root)
    execute_job(graph.make_job("data", dataset="tiny"), root)
    for shard in range(graph.library.experts("plain", "tiny")[1].num_shards):
        execute_job(graph.make_job("experts", dataset="tiny", experts="plain", shard=shard), root)
    return root


def made(root: Path, **changes: object) -> synthetic_set.SyntheticSet:
    """Two mosaics a class with other values of some knobs."""
    name = "patches" + "".join(f"-{value}" for value in changes.values()).replace(".", "")
    knobs = "".join(f", {knob}: {value}" for knob, value in changes.items())
    text = f"base: confident-patches\noverrides:\n  tiny:\n    matching:\n      selection: {{candidates: 8{knobs}}}\n"
    (root / f"params/methods/{name}.yaml").write_text(text)
    job = Graph(root).make_job("distill", dataset="tiny", method=name, ipc=2, set=0)
    execute_job(job, root)
    return synthetic_set.load(root / job.outputs["synthetic"])


def test_the_teacher_recognises_its_choice_better_than_crops_by_chance(prepared: Path) -> None:
    agreed = []
    for crops in (1, 12):
        made(prepared, crops=crops, grid=1)
        card = read_card(prepared / f"artifacts/synthetic/tiny/patches-{crops}-1/ipc2/set0/synthetic.safetensors")
        agreed.append(facts_of(card)["teacher_agrees_with_class"].number())
    assert agreed[1] >= agreed[0]
    assert agreed[1] > 0.9


def test_hard_scores_of_a_soft_set_are_those_of_its_classes(prepared: Path) -> None:
    """The same images by the same draws, once with the teacher's logits and once with classes."""
    accuracies = []
    for labels, protocol in (("teacher", "digits-hard"), ("classes", "digits"), ("teacher", "digits")):
        text = f"base: confident-patches\nmatching:\n  selection: {{labels: {labels}}}\n"
        (prepared / "params/methods/either.yaml").write_text(text)
        graph, wildcards = Graph(prepared), {"dataset": "tiny", "method": "either", "ipc": 2, "set": 0}
        made_by = graph.make_job("distill", **wildcards)
        execute_job(made_by, prepared)
        found = synthetic_set.load(prepared / made_by.outputs["synthetic"])
        assert found.labels.shape == ((20, 10) if labels == "teacher" else (20,))
        assert torch.equal(found.class_labels, torch.arange(10).repeat_interleave(2))
        scored = graph.make_job("evaluate", **wildcards, evaluation=protocol, network="native")
        execute_job(scored, prepared)
        accuracies.append(json.loads((prepared / scored.outputs["scores"]).read_text())["accuracies"])
    assert accuracies[0] == accuracies[1] != accuracies[2]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"grid": 3}, "3 patches do not divide a side of 8 pixels"),
        ({"candidates": 7}, "7 candidates are fewer than the 8 patches of a class"),
        ({"smallest_crop": 1.0}, "has no effect: every crop is the whole image"),
        ({"expert": 99}, "there is no expert 99"),
    ],
)
def test_impossible_knobs_are_refused_before_anything_runs(prepared: Path, changes: dict, problem: str) -> None:
    knobs = {"candidates": 8, "grid": 2} | changes
    text = "base: confident-patches\noverrides:\n  tiny:\n    matching:\n      selection: " + str(knobs).replace(
        "'", ""
    )
    (prepared / "params/methods/refused.yaml").write_text(f"{text}\n")
    with pytest.raises(UserError, match=problem):
        Graph(prepared).make_job("distill", dataset="tiny", method="refused", ipc=2, set=0)
