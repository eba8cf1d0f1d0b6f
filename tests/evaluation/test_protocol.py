"""Laws of the evaluation protocol, held to an independent one of plain PyTorch written here."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import repository
from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.evaluation import protocol
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.evaluation.learning_rate_config import FixedRate
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

STREAM = Stream.root(0, "evaluate", "test")


@pytest.fixture(scope="module")
def distilled(made: Path) -> SyntheticSet:
    """The tiny experiment's set of two images per class."""
    job = Graph(made).make_job("distill", **{**repository.CELL, "ipc": 2})
    return synthetic_set.load(made / job.outputs["synthetic"])


@pytest.fixture(scope="module")
def tested(made: Path) -> Images:
    return store.load(made / "artifacts/data/tiny/test.zarr", "test")


def _model() -> FlatModel:
    return build("convnet2-w32", channels=1, image_size=8, classes=10)


def _protocol(**values: object) -> Evaluation:
    return replace(ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 2)[1], **values)


def _plain_module() -> nn.Sequential:
    def block(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, 32, 3, padding=1), nn.GroupNorm(32, 32), nn.ReLU(), nn.AvgPool2d(2)]

    return nn.Sequential(*block(1), *block(32), nn.Flatten(), nn.Linear(32 * 4, 10))


def _train(synthetic: SyntheticSet, evaluation: Evaluation) -> Tensor:
    (rate,) = evaluation.learning_rate.build()(synthetic)
    return protocol.train(_model(), synthetic, evaluation, rate, STREAM).theta_P


def _train_plainly(
    synthetic: SyntheticSet, evaluation: Evaluation, before_cut: int, passes: int, *, anew: bool = True
) -> nn.Module:
    """The published protocol anew: nn.Module, torch.optim.SGD, a second optimiser after the cut. The same draws."""
    module, order_of = _plain_module(), STREAM.child("order").generator()
    nn.utils.vector_to_parameters(_model().initial_parameters(STREAM.child("initial").generator()), module.parameters())
    rate = float(synthetic.step_size)
    keywords = {"momentum": evaluation.momentum, "weight_decay": evaluation.weight_decay}
    optimiser = torch.optim.SGD(module.parameters(), lr=rate, **keywords)
    for number in range(1, passes + 1):
        for rows in torch.randperm(len(synthetic.labels), generator=order_of).split(evaluation.batch):
            optimiser.zero_grad()
            functional.cross_entropy(module(synthetic.images_NCHW[rows]), synthetic.labels[rows]).backward()
            optimiser.step()
        if number == before_cut:
            state = optimiser.state
            optimiser = torch.optim.SGD(module.parameters(), lr=rate * evaluation.decay, **keywords)
            optimiser.state = optimiser.state if anew else state
    return module


@pytest.mark.parametrize("batch", [256, 8])
@pytest.mark.parametrize(("epochs", "before_cut"), [(0, 2), (1, 2), (2, 3), (9, 6), (10, 7)])
def test_training_is_that_of_torch_optim_with_a_cut_after_half_the_passes(
    epochs: int, before_cut: int, batch: int, distilled: SyntheticSet, tested: Images
) -> None:
    """E + 1 passes, the cut after the one with index E // 2 + 1; 20 images in batches of 8 leave a rest of 4."""
    evaluation = _protocol(epochs=epochs, batch=batch)
    ours_P = _train(distilled, evaluation)
    module = _train_plainly(distilled, evaluation, before_cut, epochs + 1)
    theirs_P = nn.utils.parameters_to_vector(module.parameters()).detach()
    torch.testing.assert_close(ours_P, theirs_P, rtol=1e-4, atol=1e-6)
    logits = module(tested.images_NCHW).detach()
    right = int((logits.argmax(1) == tested.labels_N).sum())
    assert accuracy(_model(), ours_P, tested) == pytest.approx(100 * right / len(tested.labels_N), abs=0.5)


def test_momentum_starts_anew_when_the_rate_is_cut(distilled: SyntheticSet) -> None:
    """A velocity kept over the cut gives another network; at a rate of zero nothing moves any more."""
    evaluation = _protocol(epochs=10)
    ours_P = _train(distilled, evaluation)
    kept = _train_plainly(distilled, evaluation, 7, 11, anew=False)
    assert not torch.allclose(ours_P, nn.utils.parameters_to_vector(kept.parameters()).detach(), rtol=1e-2, atol=1e-4)
    stopped = _train(distilled, _protocol(epochs=10, decay=0.0))
    at_cut = _train_plainly(distilled, evaluation, 99, 7)
    torch.testing.assert_close(
        stopped, nn.utils.parameters_to_vector(at_cut.parameters()).detach(), rtol=1e-4, atol=1e-6
    )


def test_a_set_trains_the_same_network_after_write_and_read(distilled: SyntheticSet, tmp_path: Path) -> None:
    synthetic_set.save(tmp_path / "x", distilled)
    evaluation = _protocol(epochs=5)
    before = _train(distilled, evaluation)
    assert torch.equal(before, _train(synthetic_set.load(tmp_path / "x"), evaluation))


def test_the_rate_is_the_sets_own_or_the_protocols(distilled: SyntheticSet) -> None:
    own, fixed = _protocol(epochs=3), _protocol(epochs=3, learning_rate=FixedRate(kind="fixed", value=0.02))
    assert own.learning_rate.build()(distilled) == (float(distilled.step_size),)
    assert fixed.learning_rate.build()(distilled) == (0.02,)
    at_fixed = SyntheticSet(distilled.images_NCHW, distilled.labels, torch.tensor(0.02, dtype=torch.float64))
    assert torch.equal(_train(distilled, fixed), _train(at_fixed, own))


def test_a_network_that_leaves_the_finite_numbers_is_no_score(distilled: SyntheticSet) -> None:
    steep = SyntheticSet(distilled.images_NCHW, distilled.labels, torch.tensor(1e30, dtype=torch.float64))
    with pytest.raises(NonFiniteError, match="a network trained on this set has parameters that are not finite"):
        _train(steep, _protocol(epochs=3))


def test_accuracy_is_the_share_of_right_answers_whatever_the_batches(made: Path) -> None:
    train = store.load(made / "artifacts/data/tiny/train.zarr", "train")
    many = Images(train.images_NCHW.repeat(7, 1, 1, 1), train.labels_N.repeat(7), 10)  # 1,120: more than a batch
    theta_P = _model().initial_parameters(STREAM.generator())
    right = (_model()(theta_P, train.images_NCHW).argmax(1) == train.labels_N).double().mean()
    assert accuracy(_model(), theta_P, many) == accuracy(_model(), theta_P, train) == pytest.approx(100 * float(right))
