"""Laws of the axes' values: averaging, start noise, herding, whole, whitening, flat experts."""

import json
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.data import store
from dcpipe.data.augment import FAMILIES
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.averaging import averages as averaging
from dcpipe.distillation.averaging.averaging_config import Ema
from dcpipe.distillation.coresets.herding import choose_rows
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.experts.sharpness import sharpness
from dcpipe.experts.step import forward_backward
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.build import build
from dcpipe.params import augmentation

CELL: dict[str, str | int] = {"dataset": "tiny", "ipc": 1, "set": 0}


def made_with(root: Path, method: str, **changes: object) -> synthetic_set.SyntheticSet:
    """The set of a preset after changing some of its values, which then stand in the file."""
    repository.set_params(root, f"methods/{method}.yaml", changes)
    repository.make_inputs(root, "distill", method=method, **CELL)
    job = repository.make(root, "distill", method=method, **CELL)
    return synthetic_set.load(root / job.outputs["synthetic"])


def same(one: synthetic_set.SyntheticSet, other: synthetic_set.SyntheticSet) -> bool:
    return torch.equal(one.images_NCHW, other.images_NCHW) and torch.equal(one.step_size, other.step_size)


def test_an_average_without_memory_is_the_last_of_full_memory_the_first(tiny: Path) -> None:
    plain = made_with(tiny, "ftd-no-ema")
    first = synthetic_set.load_snapshots(tiny / "artifacts/synthetic/tiny/ftd-no-ema/ipc1/set0/snapshots.safetensors")[
        0
    ]
    # the stream of a set is named after its method: give ftd the other's name to compare the two
    for decay, wanted in ((0.0, plain), (1.0, first[1])):
        ema = {"kind": "ema", "decay": decay, "of_iterations": 6}
        found = made_with(tiny, "ftd-no-ema", **{"outer": {"averaging": ema}})
        assert torch.equal(found.images_NCHW, wanted.images_NCHW)


def test_a_shorter_run_keeps_the_published_weight_on_the_first_images() -> None:
    ema = Ema(kind="ema", decay=0.9995, of_iterations=5000, keep_unaveraged=False)
    assert averaging.scaled_decay(ema, 5000) == 0.9995
    for iterations in (100, 1234):
        mean, rest = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for _ in range(iterations):
            mean = averaging.update(mean, rest, averaging.scaled_decay(ema, iterations))
        assert float(mean) == pytest.approx(0.9995**5000, rel=1e-9)


def test_robust_learning_without_noise_is_mtt(tiny: Path) -> None:
    plain = made_with(tiny, "mtt")
    noise = {"kind": "gaussian", "sigma": 0.0, "objective": "endpoint"}
    assert same(made_with(tiny, "mtt", **{"matching.start_noise": noise}), plain)
    displaced = made_with(tiny, "mtt", **{"matching.start_noise": {**noise, "objective": "displacement"}})
    torch.testing.assert_close(displaced.images_NCHW, plain.images_NCHW, rtol=1e-3, atol=1e-4)
    loud = made_with(tiny, "mtt", **{"matching.start_noise": {**noise, "sigma": 0.1}})
    assert not same(loud, plain)


def test_herding_takes_the_nearest_first_and_all_at_last(made: Path) -> None:
    features = store.load(made / "artifacts/data/tiny/train.zarr", "train").images_NCHW[:30].flatten(1).double()
    gaps = (features - features.mean(dim=0)).norm(dim=1)
    assert choose_rows(features, 1) == [int(gaps.argmin())]
    assert sorted(choose_rows(features, 30)) == list(range(30))
    assert choose_rows(features, 7) == choose_rows(features, 30)[:7]
    with pytest.raises(ValueError, match="31 rows of 30"):
        choose_rows(features, 31)


def test_each_choice_of_herding_is_the_best_next_one(made: Path) -> None:
    features = store.load(made / "artifacts/data/tiny/train.zarr", "train").images_NCHW[:20].flatten(1).double()
    chosen = choose_rows(features, 4)
    mean = features.mean(dim=0)
    for size in range(1, 5):
        before = chosen[: size - 1]
        gaps = {
            row: float((features[[*before, row]].mean(dim=0) - mean).norm())
            for row in range(len(features))
            if row not in before
        }
        assert gaps[chosen[size - 1]] == pytest.approx(min(gaps.values()), rel=1e-12)


def test_the_whole_set_is_every_training_image_sorted_by_class(tiny: Path) -> None:
    found = made_with(tiny, "whole")
    train = store.load(tiny / "artifacts/data/tiny/train.zarr", "train")
    assert found.labels.tolist() == sorted(train.labels_N.tolist())
    rows = {image.numpy().tobytes() for image in train.images_NCHW}
    assert {image.numpy().tobytes() for image in found.images_NCHW} == rows
    assert len(found.images_NCHW) == len(train.images_NCHW)


def test_a_whitened_dataset_goes_from_images_to_scores(tiny: Path) -> None:
    repository.set_params(
        tiny,
        "datasets/tiny.yaml",
        {"standardise": {"kind": "none"}, "whitening": {"kind": "zca", "eps": 0.1, "threads": 1}},
    )
    words = {**CELL, "method": "mtt", "evaluation": "digits", "network": "native"}
    repository.make_inputs(tiny, "evaluate", **words)
    job = repository.make(tiny, "evaluate", **words)
    scores = json.loads((tiny / job.outputs["scores"]).read_text())
    assert scores["mean"] > 40.0  # a network that saw unwhitened images would be near 10
    train = store.load(tiny / "artifacts/data/tiny/train.zarr", "train", None, tiny / job.input("whitening"))
    flat = train.images_NCHW.flatten(1).double()
    variances = torch.linalg.eigvalsh(flat.T.cov())
    assert float(variances.max()) < 1.0
    back = store.load_transform(tiny / job.input("train"), tiny / job.input("whitening")).invert(train.images_NCHW)
    pixels = store.load_pixels(tiny / job.input("train"), "train").pixels_NCHW.float() / 255
    torch.testing.assert_close(back, pixels, rtol=0.0, atol=1e-5)


def test_flat_experts_are_flatter_than_plain_ones_from_the_same_seeds(tiny: Path) -> None:
    """Two experts each, from the same initial networks, plain against GSAM with a ball that matters."""
    flat = {"kind": "gsam", "radius": 0.2, "alpha": 0.3, "adaptive": False}
    repository.set_params(
        tiny, "experts/plain.yaml", {"overrides.tiny.epochs": 30, "overrides.tiny.kept_epochs": "0,30"}
    )
    gaps: dict[str, list[float]] = {}
    accuracies = []
    for name in ("plain", "flat"):
        if name == "flat":
            repository.set_params(tiny, "experts/plain.yaml", {"sharpness": flat})
        for shard in range(2):
            repository.make(tiny, "experts", dataset="tiny", experts="plain", shard=shard)
        gaps[name] = [_gap(tiny, expert) for expert in range(2)]
        accuracies.append(_accuracy(tiny))
    assert all(found < plain for plain, found in zip(gaps["plain"], gaps["flat"], strict=True)), gaps
    assert min(accuracies) > 60.0  # flat, not merely untrained


def _experts(root: Path) -> tuple[RecordedTrajectories, torch.nn.Module]:
    model = build("convnet2-w32", channels=1, image_size=8, classes=10)
    paths = [root / f"artifacts/experts/tiny/plain/shard{shard}/trajectory.zarr" for shard in range(2)]
    return RecordedTrajectories(paths, ParameterLayout.from_specs("convnet2-w32", model.layout)), model


def _gap(root: Path, expert: int) -> float:
    experts, model = _experts(root)
    train = store.load(root / "artifacts/data/tiny/train.zarr", "train")
    theta = experts.at(expert, 30)

    def loss(at: torch.Tensor) -> torch.Tensor:
        return forward_backward(model, at, train.images_NCHW, train.labels_N)[0]

    _, gradient, _ = forward_backward(model, theta, train.images_NCHW, train.labels_N)
    return float(sharpness(loss, theta, gradient, 0.2))


def _accuracy(root: Path) -> float:
    experts, model = _experts(root)
    return accuracy(model, experts.at(0, 30), store.load(root / "artifacts/data/tiny/train.zarr", "val"))


def test_params_know_the_families_that_augmentation_knows() -> None:
    assert set(augmentation.FAMILIES) == set(FAMILIES)


def test_augmented_students_make_another_set_and_the_same_one_twice(tiny: Path) -> None:
    found = [
        made_with(tiny, "mtt", **{"overrides.digits.matching.augmentation": name}) for name in ("crop", "flip", "crop")
    ]
    assert same(found[0], found[2])
    assert not same(found[0], found[1])
