"""Laws of episodes: how often images are updated against a network, how it is trained, and how a run is taken up."""

from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from matched import Matched, matched
from torch import Tensor, nn
from torch.nn import functional

import repository
from dcpipe.distillation.matching.gradient_config import GradientMatchingConfig
from dcpipe.distillation.student import inner_gradient
from dcpipe.distillation.training.network_training import STATISTICS_IMAGES, NetworkState, NetworkTrainer
from dcpipe.distillation.training.stopping_rules import has_moved, has_risen, scheduled_epochs
from dcpipe.distillation.training.training_config import (
    EpochSchedule,
    FixedEpochs,
    NoTraining,
    UntilAccuracyMoves,
    UntilOverfit,
)
from dcpipe.distillation.updates.update_counts import has_settled
from dcpipe.distillation.updates.updates_config import FixedUpdates, UntilSettled
from dcpipe.errors import Interrupted, NonFiniteError
from dcpipe.models.convnet import ConvNet
from dcpipe.models.convnet_network import ConvNetName
from dcpipe.params.library import ParamsLibrary
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stopping import request_stop

ZETA = [50, 40, 30, 20, 10, 10, 10, 10, 10, 10, 5]
ONCE = FixedEpochs(kind="epochs", count=1, batch=256)


def _epochs(method: str, ipc: int) -> int:
    """How often a preset's network passes over the set in one episode on CIFAR-10."""
    matching = ParamsLibrary(repository.ROOT).method(method, "cifar10", ipc)[1].matching
    assert isinstance(matching, GradientMatchingConfig)
    assert isinstance(matching.updates, FixedUpdates)
    training, updates = matching.training, range(matching.updates.count - 1)
    assert isinstance(training, FixedEpochs | EpochSchedule)
    return sum(
        training.count if isinstance(training, FixedEpochs) else scheduled_epochs(training.counts, update)
        for update in updates
    )


@pytest.mark.parametrize(("ipc", "fixed", "adaptive"), [(10, 450, 190), (50, 490, 395)])
def test_the_schedule_adds_up_to_what_equation_12_says(ipc: int, fixed: int, adaptive: int) -> None:
    assert _epochs("dc", ipc) == _epochs("gm-md", ipc) == fixed
    assert _epochs("gm-mda", ipc) == adaptive
    assert [scheduled_epochs(ZETA, t) for t in (0, 1, 2, 3, 4, 9, 10, 48)] == [50, 40, 30, 20, 10, 10, 5, 5]


def _trainer(case: Matched) -> NetworkTrainer:
    trainer = case.matching._trainer
    assert isinstance(trainer, NetworkTrainer)
    return trainer


def _loss(case: Matched, theta_P: Tensor, images: Tensor, labels: Tensor) -> float:
    return float(functional.cross_entropy(case.matching._parts.model(theta_P, images), labels))


def test_a_network_is_trained_by_plain_steps_at_the_sets_step_size(made: Path) -> None:
    case = matched(made, "dc", training=FixedEpochs(kind="epochs", count=3, batch=256))
    episode = case.begin()
    theta_P = episode.network.theta_P
    found = _trainer(case).train(episode.network, case.synthetic, 0, Stream.root(0, "training"))
    for _ in range(3):
        gradient_P = inner_gradient(
            case.matching._parts.model, theta_P, case.synthetic.images_NCHW, case.synthetic.labels
        )
        theta_P = theta_P - case.synthetic.step_size * gradient_P
    torch.testing.assert_close(found.theta_P, theta_P, rtol=1e-12, atol=1e-15)


def test_an_epoch_takes_every_image_once_the_last_partial_batch_too(made: Path) -> None:
    """With a step size so small that gradients add up, an epoch's batches make the whole set's gradient."""
    for batch in (20, 10, 7, 1):
        case = matched(made, "dc", training=FixedEpochs(kind="epochs", count=1, batch=batch))
        episode = case.begin()
        tiny = replace(case.synthetic, step_size=torch.tensor(1e-7, dtype=torch.float64))
        found = _trainer(case).train(episode.network, tiny, 0, Stream.root(0, "training"))
        steps = -(-20 // batch)
        if 20 % batch == 0:
            args = (case.matching._parts.model, episode.network.theta_P, tiny.images_NCHW, tiny.labels)
            moved = (episode.network.theta_P - found.theta_P) / (1e-7 * steps)
            torch.testing.assert_close(moved, inner_gradient(*args), rtol=1e-4, atol=1e-6)
        else:
            assert steps == 3
            assert not torch.equal(found.theta_P, episode.network.theta_P)


@pytest.mark.parametrize("at_most", [1, 3, 40])
def test_training_ends_with_the_first_epoch_that_raises_the_real_loss(at_most: int, made: Path) -> None:
    """Overfitting: the network after the rise is the one that goes on; at the limit it goes on as it is."""
    rule = UntilOverfit(kind="until-overfit", real_batch=5, at_most=at_most, batch=256)
    case = matched(made, "gm-mdo", training=rule)
    synthetic = replace(case.synthetic, step_size=torch.tensor(0.2, dtype=torch.float64))
    episode, stream = case.begin(), Stream.root(0, "training")
    found = _trainer(case).train(episode.network, synthetic, 0, stream)
    images, labels = case.matching._parts.batches.balanced(5, stream.child("watched"))
    assert labels.tolist() == [label for label in range(10) for _ in range(5)]
    theta_P = episode.network.theta_P
    losses = [_loss(case, theta_P, images, labels)]
    while len(losses) <= at_most and not (len(losses) > 1 and losses[-1] > losses[-2]):
        gradient_P = inner_gradient(case.matching._parts.model, theta_P, synthetic.images_NCHW, synthetic.labels)
        theta_P = theta_P - synthetic.step_size * gradient_P
        losses.append(_loss(case, theta_P, images, labels))
    torch.testing.assert_close(found.theta_P, theta_P, rtol=1e-9, atol=1e-12)
    assert (losses[-1] > losses[-2]) == (at_most == 40), "the longest is ended by a rise, the others by the limit"


def test_what_rises_moves_and_settles_is_told_from_the_last_numbers_alone() -> None:
    assert not has_risen([1.0])
    assert not has_risen([1.0, 1.0])
    assert has_risen([9.0, 1.0, 1.1])
    assert not has_risen([1.0, 2.0, 1.9])
    numbers = [0.0, 0.5, 0.52, 0.53]
    assert [has_settled(numbers, window, 0.04) for window in (2, 3, 4, 5)] == [True, True, False, False]
    assert [has_moved(numbers, window, 0.04) for window in (2, 3, 4, 5)] == [False, False, True, False]
    assert not has_settled([0.25, 0.5], 2, 0.25)
    assert not has_moved([0.25, 0.5], 2, 0.25)


def test_a_network_whose_accuracy_has_moved_is_trained_no_further(made: Path) -> None:
    """The window is measurements after epochs: at least so many, and no more than the limit."""
    seen = {}
    for largest in (0.0, 0.02, 1.0):
        rule = UntilAccuracyMoves(kind="until-moved", window=3, range=largest, real_batch=8, at_most=12, batch=256)
        case = matched(made, "cafe", training=rule)
        synthetic = replace(case.synthetic, step_size=torch.tensor(0.05, dtype=torch.float64))
        episode, stream = case.begin(), Stream.root(0, "training")
        found = _trainer(case).train(episode.network, synthetic, 0, stream)
        network, accuracies, epochs = episode.network, [], 0
        while epochs < 12 and not has_moved(accuracies, 3, largest):
            network = _trainer(case)._epoch(network, synthetic, 256, stream.child("epoch", epochs))
            epochs += 1
            accuracies.append(_trainer(case).accuracy(network, 8, stream.child("watched", epochs)))
        assert torch.equal(found.theta_P, network.theta_P)
        seen[largest] = epochs
    assert 3 <= seen[0.0] <= seen[0.02] < seen[1.0] == 12


def _updates(case: Matched, iteration: int = 0) -> list[Any]:
    """All episodes of an iteration, the set left as it is."""
    found = [case.begin(iteration)]
    while (following := found[-1].next_episode(case.synthetic)) is not None:
        found.append(following)
    return found


def test_an_iteration_has_the_presets_updates_each_with_its_own_draws(made: Path) -> None:
    case = matched(made, "dsa", updates=FixedUpdates(kind="fixed", count=4), training=ONCE)
    episodes = _updates(case)
    assert [episode.facts for episode in episodes] == [{"update": update} for update in range(4)]
    rows = [[tuple(draw.real_rows.tolist()) for draw in episode.classes] for episode in episodes]
    assert len({tuple(of_update) for of_update in rows}) == 4
    thetas = [episode.network.theta_P for episode in episodes]
    assert all(not torch.equal(a, b) for a, b in pairwise(thetas))
    untrained = _updates(
        matched(made, "dsa", updates=FixedUpdates(kind="fixed", count=3), training=NoTraining(kind="none"))
    )
    assert all(torch.equal(episode.network.theta_P, thetas[0]) for episode in untrained)


def test_draws_depend_on_iteration_and_update_not_on_what_ran_before(made: Path) -> None:
    first = matched(made, "dsa")
    second = matched(made, "dsa")
    _updates(second, 0)
    for a, b in zip(_updates(first, 1), _updates(second, 1), strict=True):
        assert torch.equal(a.network.theta_P, b.network.theta_P)
        for x, y in zip(a.classes, b.classes, strict=True):
            assert torch.equal(x.real_rows, y.real_rows)
            assert torch.equal(x.augmentation.values_NQ, y.augmentation.values_NQ)
    assert not torch.equal(_updates(first, 0)[0].network.theta_P, _updates(first, 1)[0].network.theta_P)


def test_real_images_are_drawn_without_repeats_all_where_no_more_exist(made: Path) -> None:
    draws = matched(made, "dc", real_batch=6).begin().classes
    assert all(len(set(draw.real_rows.tolist())) == 6 for draw in draws)
    case = matched(made, "dc", real_batch=1000)
    for draw in case.begin().classes:
        assert sorted(draw.real_rows.tolist()) == torch.nonzero(case.train.labels_N == draw.label).flatten().tolist()


def test_an_episode_ends_when_accuracy_has_settled_and_at_the_limit(made: Path) -> None:
    lengths = {}
    for largest in (0.0, 0.1, 1.0):
        rule = UntilSettled(kind="until-settled", window=3, range=largest, real_batch=8, at_most=9)
        episodes = _updates(matched(made, "cafe", updates=rule, training=ONCE))
        lengths[largest] = len(episodes)
        accuracies = episodes[-1].accuracies
        assert len(accuracies) == len(episodes) - 1, "the last update's own measurement has ended it"
        assert not any(has_settled(accuracies[:end], 3, largest) for end in range(len(accuracies) + 1))
    assert lengths == {0.0: 9, 0.1: lengths[0.1], 1.0: 3}
    assert 3 <= lengths[0.1] <= 9


def _published(theta: dict[str, Tensor]) -> ConvNet:
    """A ConvNet with batch norms as PyTorch has them: it keeps running statistics by itself."""
    network = ConvNet(ConvNetName(depth=2, width=8, norm="batch"), channels=1, image_size=8, classes=10).double()
    for block in network.blocks:
        block.norm = nn.BatchNorm2d(8).double()
    network.load_state_dict(theta, strict=False)
    return network


def _running(network: ConvNet) -> dict[str, Tensor]:
    return {name: value for name, value in network.named_buffers() if "num_batches" not in name}


def test_running_statistics_are_pytorchs_over_real_images_and_training(made: Path) -> None:
    case = matched(made, "dc", network="convnet2-w8-batch", training=FixedEpochs(kind="epochs", count=2, batch=256))
    trainer, model, stream = _trainer(case), case.matching._parts.model, Stream.root(0, "some")
    network = trainer.fresh(stream)
    reference = _published(dict(model.unflatten(network.theta_P)))
    network = trainer.with_real_statistics(network, stream.child("real"))
    images, _ = case.matching._parts.batches.balanced(16, stream.child("real"))
    assert len(images) == 160
    reference.train()(images)
    for name, value in _running(reference).items():
        torch.testing.assert_close(network.statistics[name], value, rtol=1e-12, atol=1e-15)
    probe = case.train.images_NCHW[:5]
    torch.testing.assert_close(
        trainer.logits(network, network.theta_P, probe), reference.eval()(probe), rtol=1e-10, atol=1e-12
    )
    trained = trainer.train(network, case.synthetic, 0, stream.child("training"))
    optimiser = torch.optim.SGD(reference.parameters(), lr=float(case.synthetic.step_size))
    for _ in range(2):
        optimiser.zero_grad()
        functional.cross_entropy(reference.train()(case.synthetic.images_NCHW), case.synthetic.labels).backward()
        optimiser.step()
    torch.testing.assert_close(
        trainer.logits(trained, trained.theta_P, probe), reference.eval()(probe), rtol=1e-9, atol=1e-12
    )


def test_matched_gradients_take_the_statistics_as_they_stand(made: Path) -> None:
    """No image of a batch has a say in how another is normalised; in training it has."""
    case = matched(made, "dc", network="convnet2-w8-batch")
    network, model = case.begin().network, case.matching._parts.model
    images = case.train.images_NCHW[:6]
    frozen = case.matching._network_function(case.begin())
    alone = torch.cat([frozen(network.theta_P, image[None]) for image in images])
    torch.testing.assert_close(frozen(network.theta_P, images), alone, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(model(network.theta_P, images), alone, rtol=0.01)
    assert STATISTICS_IMAGES == 16


def _long(root: Path, method: str) -> Job:
    """Four iterations of three updates, with a momentum that reaches over all of them."""
    outer = {"overrides.tiny.outer": {"iterations": 4, "snapshot_every": 3, "images": {"optimiser": {"momentum": 0.9}}}}
    repository.set_params(root, "methods/dc.yaml", {**outer, "overrides.tiny.matching.updates": {"count": 3}})
    return Graph(root).make_job("distill", dataset="tiny", method=method, ipc=1, set=0)


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 3])
@pytest.mark.parametrize("method", ["dsa", "gm-mdo"])
def test_a_run_that_is_killed_between_episodes_goes_on_to_the_same_bytes(
    method: str, saves: int, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _long(tiny, method)
    execute_job(job, tiny, folder=tmp_path / "whole", keep_state=False)
    real, number = ResumeState.save, count(1)
    with monkeypatch.context() as patch:
        patch.setattr(ResumeState, "is_due", lambda _: True)
        patch.setattr(ResumeState, "save", lambda self, *case: real(self, *case) if next(number) <= saves else None)
        patch.setattr(ResumeState, "clear", lambda _: None)
        execute_job(job, tiny, folder=tmp_path / "killed")
    assert _reached(tiny) == saves
    execute_job(job, tiny)
    assert repository.bytes_below(tiny / job.folder) == repository.bytes_below(tmp_path / "whole")


def _reached(root: Path) -> int:
    (path,) = (root / "state").glob("*/distill.state")
    found = ResumeState(path.parent).load("distill")
    assert found is not None
    meta: Any = found[1]
    assert len(meta["history"]) == 3 * meta["iteration"]
    return int(meta["iteration"])


def test_a_run_stopped_in_an_episode_resumes_to_the_same_bytes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _long(tiny, "dsa")
    execute_job(job, tiny, folder=tmp_path / "whole", keep_state=False)
    real, number = NetworkTrainer.train, count(1)

    def train(self: NetworkTrainer, *case: Any) -> NetworkState:
        if next(number) == 4:  # two an episode: in the middle of the second
            request_stop()
        return real(self, *case)

    with monkeypatch.context() as patch:
        patch.setattr(NetworkTrainer, "train", train)
        with pytest.raises(Interrupted):
            execute_job(job, tiny)
    assert _reached(tiny) == 1
    execute_job(job, tiny)
    assert repository.bytes_below(tiny / job.folder) == repository.bytes_below(tmp_path / "whole")


def test_an_episode_that_fails_leaves_set_and_optimiser_as_before(tiny: Path) -> None:
    """The first update goes too far for the second; neither counts."""
    repository.set_params(
        tiny,
        "methods/dc.yaml",
        {"overrides.tiny.outer": {"iterations": 4, "images": {"optimiser": {"learning_rate": 1e30}}}},
    )
    job = Graph(tiny).make_job("distill", dataset="tiny", method="dc", ipc=1, set=0)
    with pytest.raises(NonFiniteError, match=r"^iteration 0: "):
        execute_job(job, tiny)
    (path,) = (tiny / "state").glob("*/distill.state")
    tensors, meta = ResumeState(path.parent).load("distill") or ({}, None)
    assert meta == {"iteration": 0, "snapshots": [], "history": []}
    assert float(tensors["current.images"].abs().max()) < 10
    assert "velocity.images" not in tensors
