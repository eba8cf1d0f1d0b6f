"""Laws of networks trained side by side: each is the network it would have been alone, to rounding."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError, UserError
from dcpipe.evaluation import protocol, side_by_side
from dcpipe.evaluation.accuracy_measurer import AccuracyMeasurer
from dcpipe.evaluation.augmentation_config import Dsa, Mixup
from dcpipe.experts.flatness_config import GsamSteps, PlainSteps
from dcpipe.experts.step import TrainingStep
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

STREAMS = [Stream.root(0, "evaluate", "test", "network", index) for index in range(3)]
PLAIN, GSAM = PlainSteps(kind="none"), GsamSteps(kind="gsam", radius=0.05, alpha=0.5, adaptive=True)
DSA = Dsa(kind="dsa", families="color_crop_cutout_flip_scale_rotate")


@pytest.fixture(scope="module")
def distilled(made: Path) -> SyntheticSet:
    """The tiny experiment's set of two images per class, in double precision: tolerances can be tight."""
    job = Graph(made).make_job("distill", **{**repository.CELL, "ipc": 2})
    found = synthetic_set.load(made / job.outputs["synthetic"])
    return SyntheticSet(found.images_NCHW.double(), found.labels, found.step_size)


class _InDouble(FlatModel):
    def initial_parameters(self, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return super().initial_parameters(generator, dtype)

    def initial_statistics(self, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
        return super().initial_statistics(dtype)


def _model(name: str) -> FlatModel:
    return _InDouble(build(name, channels=1, image_size=8, classes=10)._module)


def _evaluation(**values: object) -> Evaluation:
    return replace(ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 2)[1], **values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("convnet2-w8", {"epochs": 6}),
        ("convnet2-w8", {"epochs": 3, "batch": 8, "augmentation": DSA}),
        ("convnet2-w8", {"epochs": 3, "sharpness": GSAM}),
        ("convnet2-w8-batch", {"epochs": 3, "batch": 8, "augmentation": DSA, "sharpness": GSAM}),
        ("convnet2-w8-group-leakyrelu-maxpool", {"epochs": 3}),
        ("convnet2-w8-layer-swish-nopool", {"epochs": 3}),
        ("mlp", {"epochs": 6, "augmentation": Dsa(kind="dsa", families="scale")}),
        ("mlp", {"epochs": 3, "batch": 8, "augmentation": Mixup(kind="mixup", alpha=1.0)}),
    ],
)
def test_each_of_several_is_the_network_it_would_have_been_alone(
    name: str, values: dict[str, object], distilled: SyntheticSet
) -> None:
    """Parameters and running statistics, at every protocol's features; in float64 to one part in 10^9."""
    model, evaluation = _model(name), _evaluation(**values)
    together = side_by_side.train(model, distilled, evaluation, 0.05, STREAMS)
    alone = [protocol.train(model, distilled, evaluation, 0.05, stream) for stream in STREAMS]
    assert not torch.allclose(alone[0].theta_P, alone[1].theta_P, rtol=1e-2)
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours.theta_P, theirs.theta_P, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(dict(ours.statistics), dict(theirs.statistics), rtol=1e-9, atol=1e-11)


def test_soft_labels_stand_side_by_side_too(distilled: SyntheticSet) -> None:
    logits = 3 * torch.randn(20, 10, generator=STREAMS[0].child("logits").generator(), dtype=torch.float64)
    soft, model = SyntheticSet(distilled.images_NCHW, logits, distilled.step_size), _model("convnet2-w8")
    together = side_by_side.train(model, soft, _evaluation(epochs=3, batch=8), 0.05, STREAMS)
    for ours, stream in zip(together, STREAMS, strict=True):
        alone = protocol.train(model, soft, _evaluation(epochs=3, batch=8), 0.05, stream)
        torch.testing.assert_close(ours.theta_P, alone.theta_P, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "vgg11-bn", "resnet18-ap-bn", "resnet18"])
def test_classic_networks_can_stand_side_by_side(name: str) -> None:
    """A direction of each of two, on 32x32 images; in float64 to one part in 10^8 of the largest entry."""
    model = build(name, channels=1, image_size=32, classes=10)
    thetas = torch.stack([model.initial_parameters(stream.generator(), torch.float64) for stream in STREAMS[:2]])
    images = torch.randn(2, 4, 1, 32, 32, generator=STREAMS[0].generator(), dtype=torch.float64)
    labels = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    step = TrainingStep(model, (), PLAIN.build(), side_by_side.functional_forward_backward)
    together = torch.func.vmap(step.direction)(thetas, images, labels)[1]
    for row in range(2):
        alone = TrainingStep(model, (), PLAIN.build()).direction(thetas[row], images[row], labels[row])[1]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-8 * float(alone.abs().max()))


def test_one_network_that_leaves_the_finite_numbers_ends_them_all(distilled: SyntheticSet) -> None:
    with pytest.raises(NonFiniteError, match="a network trained on this set has parameters that are not finite"):
        side_by_side.train(_model("convnet2-w8"), distilled, _evaluation(epochs=3), 1e30, STREAMS)


def test_scores_have_an_accuracy_for_each_network_and_groups_may_be_short(tiny: Path) -> None:
    found = {}
    for width in (1, 2, 3):
        values = {"overrides.tiny.networks": 3, "overrides.tiny.epochs": 30, "side_by_side": width}
        repository.set_params(tiny, "evaluations/digits.yaml", values)
        job = repository.make(tiny, "evaluate", **repository.CELL, evaluation="digits", network="native")
        found[width] = json.loads((tiny / job.outputs["scores"]).read_text())["accuracies"]
        assert job.params["params/evaluations/digits.yaml"]["side_by_side"] == width
    for width in (2, 3):  # 320 test images: three of them may lie on a border
        assert found[width] == pytest.approx(found[1], abs=1.0)


def test_more_side_by_side_than_there_are_is_refused(root: Path) -> None:
    repository.set_params(root, "evaluations/digits.yaml", {"side_by_side": 3})
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("evaluate", **repository.CELL, evaluation="digits", network="native")
    assert str(caught.value) == (
        "params/evaluations/digits.yaml: side_by_side: 3 networks side by side are more than the 2 that are trained; "
        "write at most 2"
    )


def test_a_group_is_trained_whole_whatever_is_known_of_it(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed job groups the same networks as an uninterrupted one."""
    groups: list[range] = []
    train = AccuracyMeasurer._train
    monkeypatch.setattr(AccuracyMeasurer, "_train", lambda *given: groups.append(given[3]) or train(*given))
    repository.set_params(tiny, "evaluations/digits.yaml", {"overrides.tiny.networks": 3, "side_by_side": 2})
    job = Graph(tiny).make_job("evaluate", **repository.CELL, evaluation="digits", network="native")
    execute_job(job, tiny)
    assert groups == [range(2), range(2, 3)]
