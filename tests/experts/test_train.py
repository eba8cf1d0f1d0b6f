"""Laws of experts: what is stored is what was trained and logged, however experts are dealt to shards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import repository
from dcpipe.data import arrays, store
from dcpipe.data.store import Images
from dcpipe.errors import CorruptArtifactError, NonFiniteError, UserError
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

WORDS = {"dataset": "tiny", "experts": "plain"}


def _model() -> FlatModel:
    return build("convnet2-w32", channels=1, image_size=8, classes=10)


def _paths(root: Path, count: int = 2) -> list[Path]:
    return [root / f"artifacts/experts/tiny/plain/shard{shard}/trajectory.zarr" for shard in range(count)]


def _recorded(paths: list[Path]) -> RecordedTrajectories:
    return RecordedTrajectories(paths, ParameterLayout.from_specs("convnet2-w32", _model().layout))


def _stream(expert: int) -> Stream:
    return Stream.root(0, "experts", "tiny", "plain", expert)


def test_the_stored_network_has_the_logged_accuracy_exactly(made: Path) -> None:
    val = store.load(made / "artifacts/data/tiny/train.zarr", "val")
    experts = _recorded(_paths(made))
    for expert, path in enumerate(_paths(made)):
        logged = arrays.read(path, "accuracies")[0]
        assert [accuracy(_model(), experts.at(expert, epoch), val) for epoch in range(5)] == logged.tolist()
        card = json.loads((path.parent / "card.json").read_text())
        assert card["facts"]["final_accuracies"] == [logged[-1]]
        assert card["facts"]["accuracies_on"] == "val"
        assert logged[-1] > 30 > logged[0], "it learned"


def test_accuracies_are_on_train_where_there_is_no_validation_part(root: Path) -> None:
    repository.set_params(root, "datasets/tiny.yaml", {"split.validation_per_class": 0})
    repository.make(root, "data", dataset="tiny")
    job = repository.make(root, "experts", **WORDS, shard=0)
    train = store.load(root / "artifacts/data/tiny/train.zarr", "train")
    (path,) = _paths(root, 1)
    assert accuracy(_model(), _recorded([path]).at(0, 4), train) == arrays.read(path, "accuracies")[0, -1]
    facts = json.loads((root / job.folder / "card.json").read_text())["facts"]
    assert (facts["accuracies_on"], facts["accuracies_on_images"]) == ("train", len(train.labels_N))


def test_of_a_large_part_some_images_are_classified(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.make(root, "data", dataset="tiny")
    val = store.load(root / "artifacts/data/tiny/train.zarr", "val")
    third = len(val.labels_N) // 3
    monkeypatch.setattr("dcpipe.experts.training_run.CLASSIFIED_AFTER_AN_EPOCH", third)
    job = repository.make(root, "experts", **WORDS, shard=0)
    (path,) = _paths(root, 1)
    rows = torch.arange(third) * len(val.labels_N) // third
    some = Images(val.images_NCHW[rows], val.labels_N[rows], val.classes)
    logged = arrays.read(path, "accuracies")[0]
    assert [accuracy(_model(), _recorded([path]).at(0, epoch), some) for epoch in range(5)] == logged.tolist()
    assert json.loads((root / job.folder / "card.json").read_text())["facts"]["accuracies_on_images"] == third


def test_experts_never_see_test_images(tiny: Path, made: Path) -> None:
    """They train to the same bytes where there are none."""
    (tiny / "artifacts/data/tiny/test.zarr").rename(tiny / "elsewhere")
    job = repository.make(tiny, "experts", **WORDS, shard=0)
    assert repository.bytes_below(tiny / job.folder) == repository.bytes_below(made / job.folder)


def test_epoch_zero_is_the_untrained_network_of_the_experts_own_stream(made: Path) -> None:
    experts = _recorded(_paths(made))
    starts = [_model().initial_parameters(_stream(expert).child("initial").generator()) for expert in range(2)]
    assert experts.num_experts == 2
    for expert, start in enumerate(starts):
        assert torch.equal(experts.at(expert, 0), start)
    assert not torch.equal(*starts)


def _plain_module() -> nn.Sequential:
    def block(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, 32, 3, padding=1), nn.GroupNorm(32, 32), nn.ReLU(), nn.AvgPool2d(2)]

    return nn.Sequential(*block(1), *block(32), nn.Flatten(), nn.Linear(32 * 4, 10))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_expert_is_a_plain_network_trained_by_torch_optim_sgd(momentum: float, root: Path) -> None:
    """Written anew here with nn.Module and torch.optim: the same network, batches and order."""
    repository.set_params(root, "experts/plain.yaml", {"momentum": momentum, "weight_decay": 5e-4})
    repository.make(root, "data", dataset="tiny")
    repository.make(root, "experts", **WORDS, shard=1)
    train = store.load(root / "artifacts/data/tiny/train.zarr", "train")
    path = _paths(root)[1]
    experts, losses = _recorded([path]), arrays.read(path, "losses")[0]
    module = _plain_module()
    nn.utils.vector_to_parameters(experts.at(0, 0), module.parameters())
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=momentum, weight_decay=5e-4)
    for epoch in range(4):
        order, total = torch.randperm(160, generator=_stream(1).child("order", epoch).generator()), 0.0
        for rows in order.split(32):
            loss = functional.cross_entropy(module(train.images_NCHW[rows]), train.labels_N[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows) / 160
        found = nn.utils.parameters_to_vector(module.parameters()).detach()
        torch.testing.assert_close(experts.at(0, epoch + 1), found, rtol=1e-4, atol=1e-6)
        assert losses[epoch] == pytest.approx(total, rel=1e-5)


def test_a_shard_of_two_experts_is_two_shards_of_one(root: Path, made: Path) -> None:
    repository.set_params(root, "experts/plain.yaml", {"overrides.tiny.shard_experts": 2})
    repository.make(root, "data", dataset="tiny")
    repository.make(root, "experts", **WORDS, shard=0)
    (together,), apart = _paths(root, 1), _paths(made)
    for name in ("theta", "losses", "accuracies"):
        joined = np.concatenate([arrays.read(path, name) for path in apart])
        assert np.array_equal(arrays.read(together, name), joined)
    assert np.array_equal(arrays.read(together, "epochs"), arrays.read(apart[0], "epochs"))
    shards = [(together / f"theta/c/{row}/0/0").read_bytes() for row in range(2)]
    assert shards == [(path / "theta/c/0/0/0").read_bytes() for path in apart]


def test_more_experts_leave_those_that_exist_alone(tiny: Path, made: Path) -> None:
    repository.set_params(tiny, "experts/plain.yaml", {"overrides.tiny.count": 3})
    jobs = [Graph(root).make_job("experts", **WORDS, shard=0) for root in (tiny, made)]
    assert jobs[0].params == jobs[1].params
    assert Graph(tiny).make_job("experts", **WORDS, shard=2).inputs == jobs[0].inputs


def test_epochs_not_kept_are_refused_and_the_kept_ones_are_the_same(root: Path, made: Path) -> None:
    repository.set_params(root, "experts/plain.yaml", {"overrides.tiny.kept_epochs": "1-2,4"})
    repository.make(root, "data", dataset="tiny")
    repository.make(root, "experts", **WORDS, shard=0)
    some, every = _recorded(_paths(root, 1)), _recorded(_paths(made, 1))
    for epoch in (1, 2, 4):
        assert torch.equal(some.at(0, epoch), every.at(0, epoch))
    for epoch in (0, 3, 5):
        with pytest.raises(UserError, match=rf"trajectory\.zarr: epoch {epoch} was not kept \(kept: 1, 2, 4\); add it"):
            some.at(0, epoch)
    assert len(arrays.read(_paths(root, 1)[0], "losses")[0]) == 4
    with pytest.raises(UserError, match="its epochs differ from those of the first shard"):
        _recorded([*_paths(made, 1), *_paths(root, 1)])


def test_trajectories_of_another_network_are_refused(made: Path) -> None:
    other = build("convnet2-w16", channels=1, image_size=8, classes=10)
    with pytest.raises(UserError, match=r"was recorded with convnet2-w32, not with the parameters of convnet2-w16 on"):
        RecordedTrajectories(_paths(made), ParameterLayout.from_specs("convnet2-w16", other.layout))


def test_a_shard_that_vanishes_while_it_is_read_is_not_read_as_zeros(tiny: Path) -> None:
    experts = _recorded(_paths(tiny))
    assert experts.at(1, 4).any()
    (_paths(tiny)[1] / "theta/c/0/0/0").unlink()
    with pytest.raises(CorruptArtifactError, match=r"shard1/trajectory\.zarr: the checkpoint of expert 0 at epoch 4"):
        experts.at(1, 4)
    assert experts.at(0, 4).any()


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_the_codec_alters_no_number(codec: str, root: Path, made: Path) -> None:
    repository.set_params(root, "experts/plain.yaml", {"store": {"codec": codec, "level": 0 if codec == "none" else 1}})
    repository.make(root, "data", dataset="tiny")
    repository.make(root, "experts", **WORDS, shard=0)
    theta = [arrays.read(_paths(where, 1)[0], "theta") for where in (root, made)]
    assert np.array_equal(*theta)


@pytest.mark.parametrize(
    ("rate", "epochs", "told"),
    [
        (1e30, 4, "the training loss or the parameters are not finite in epoch 2"),  # one update an epoch
        (3e38, 1, "the training loss or the parameters are not finite in epoch 1"),  # by the very last update
    ],
)
def test_an_expert_that_leaves_the_finite_numbers_is_not_stored(
    rate: float, epochs: int, told: str, root: Path
) -> None:
    values = {"overrides.digits.learning_rate": rate, "overrides.tiny.epochs": epochs, "overrides.tiny.batch": 1000}
    repository.set_params(root, "experts/plain.yaml", {**values, "weight_decay": 1e10 if epochs == 1 else 0.0})
    repository.make(root, "data", dataset="tiny")
    with pytest.raises(NonFiniteError, match=told):
        repository.make(root, "experts", **WORDS, shard=0)
    assert repository.bytes_below(_paths(root, 1)[0].parent) == {}
