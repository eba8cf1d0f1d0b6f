"""Laws of batch norm in every stage: trained on batches, tested with running statistics, as torch.nn.BatchNorm2d."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import repository
from dcpipe.data import arrays, store
from dcpipe.data.store import Images
from dcpipe.distillation import student, synthetic_set
from dcpipe.distillation.coresets import herding
from dcpipe.distillation.distances.trajectory_distance import trajectory_distance
from dcpipe.distillation.hypergradient import exact, unrolled
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerDraws
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.evaluation import protocol
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.experts.flatness_config import GsamSteps
from dcpipe.experts.sharpness import gsam_direction
from dcpipe.experts.step import TrainingStep, forward_backward
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.build import build
from dcpipe.models.flat import updated_statistics
from dcpipe.models.sgd import SGD
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.network_name import parse
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

NETWORK = "convnet2-w8-batch"
MODEL = build(NETWORK, channels=1, image_size=8, classes=10)
STORE = Path("artifacts/experts/tiny/plain/shard0/trajectory.zarr")


class Module(nn.Module):
    """The network written anew, with PyTorch's own running statistics, from given parameters."""

    def __init__(self, theta_P: Tensor) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        convs = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
        rest = [nn.ReLU(), nn.AvgPool2d(2)]
        self.body = nn.Sequential(convs[0], self.norms[0], *rest, convs[1], self.norms[1], *rest, nn.Flatten())
        self.head = nn.Linear(8 * 4, 10)
        self.layers = [convs[0], self.norms[0], convs[1], self.norms[1], self.head]
        self.to(theta_P.dtype)
        nn.utils.vector_to_parameters(theta_P, self.flat())

    def flat(self) -> list[nn.Parameter]:
        return [value for layer in self.layers for value in layer.parameters()]

    def packed(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.flat()).detach()

    def statistics(self) -> Tensor:
        return torch.cat([value for norm in self.norms for value in (norm.running_mean, norm.running_var)])

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(self.body(x_NCHW))

    def percent(self, on: Images) -> float:
        right = (self.eval()(on.images_NCHW).argmax(1) == on.labels_N).sum()
        self.train()
        return 100 * int(right) / len(on.labels_N)


@pytest.fixture(scope="module")
def normed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose plain experts have batch norm, with the data and both experts. Read only."""
    root = repository.copy_params(tmp_path_factory.mktemp("normed"))
    repository.set_params(root, "experts/plain.yaml", {"network": NETWORK, "momentum": 0.9, "weight_decay": 5e-4})
    repository.make(root, "data", dataset="tiny")
    for shard in range(2):
        repository.make(root, "experts", dataset="tiny", experts="plain", shard=shard)
    return root


def test_an_expert_is_the_torch_module_trained_by_torch_optim_sgd(normed: Path) -> None:
    """Parameters, running statistics and logged accuracies after every epoch."""
    train, val = (store.load(normed / "artifacts/data/tiny/train.zarr", part) for part in ("train", "val"))
    experts = RecordedTrajectories([normed / STORE], ParameterLayout.from_specs(NETWORK, MODEL.layout))
    logged = arrays.read(normed / STORE, "accuracies")[0]
    module = Module(experts.at(0, 0))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    stream = Stream.root(0, "experts", "tiny", "plain", 0)
    for epoch in range(5):
        torch.testing.assert_close(experts.at(0, epoch), module.packed(), rtol=1e-4, atol=1e-5)
        found_S = experts.statistics_at(0, epoch)
        torch.testing.assert_close(found_S, module.statistics(), rtol=1e-4, atol=1e-5)
        assert accuracy(MODEL, experts.at(0, epoch), val, MODEL.unpack(found_S)) == logged[epoch]
        assert logged[epoch] == pytest.approx(module.percent(val), abs=1.0)
        for rows in torch.randperm(160, generator=stream.child("order", epoch).generator()).split(32):
            optimiser.zero_grad()
            functional.cross_entropy(module(train.images_NCHW[rows]), train.labels_N[rows]).backward()
            optimiser.step()


def test_statistics_that_vanish_while_they_are_read_are_not_read_as_zeros(normed: Path, tmp_path: Path) -> None:
    path = shutil.copytree(normed / STORE, tmp_path / "trajectory.zarr")
    experts = RecordedTrajectories([path], ParameterLayout.from_specs(NETWORK, MODEL.layout))
    next((path / "statistics/c").rglob("0")).rename(tmp_path / "elsewhere")
    with pytest.raises(CorruptArtifactError, match="the checkpoint of expert 0 at epoch 2 is missing"):
        experts.statistics_at(0, 2)


def test_networks_without_batch_norm_leave_no_statistics(made: Path) -> None:
    model = build("convnet2-w32", channels=1, image_size=8, classes=10)
    assert not (made / STORE / "statistics").exists()
    with pytest.raises(UserError, match="has no running statistics; published files have none; train these"):
        RecordedTrajectories([made / STORE], ParameterLayout.from_specs("convnet2-w32", model.layout)).statistics_at(
            0, 1
        )


def test_the_second_pass_of_gsam_leaves_the_statistics_alone(normed: Path) -> None:
    train = store.load(normed / "artifacts/data/tiny/train.zarr", "train")
    batch = train.images_NCHW[:20], train.labels_N[:20]
    theta_P = MODEL.initial_parameters(Stream.root(0, "gsam").generator())
    rule = GsamSteps(kind="gsam", radius=0.5, alpha=0.3, adaptive=False)
    _, direction_P, seen = TrainingStep(MODEL, (), rule.build())(theta_P, *batch, torch.Generator())
    plain = forward_backward(MODEL, theta_P, *batch)
    by_hand = gsam_direction(
        lambda at: forward_backward(MODEL, at, *batch)[1], theta_P, radius=0.5, alpha=0.3, adaptive=False
    )
    assert torch.equal(MODEL.pack(seen), MODEL.pack(plain[2]))
    assert torch.equal(direction_P, by_hand.d_P)
    assert not torch.equal(direction_P, plain[1])


@pytest.mark.parametrize("batch", [256, 8])
def test_evaluation_trains_on_batches_and_tests_with_running_statistics(batch: int, made: Path) -> None:
    job = Graph(made).make_job("distill", **{**repository.CELL, "ipc": 2})
    distilled = synthetic_set.load(made / job.outputs["synthetic"])
    test = store.load(made / "artifacts/data/tiny/test.zarr", "test")
    evaluation = replace(ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 2)[1], epochs=6, batch=batch)
    stream = Stream.root(0, "evaluate", "test")
    ours = protocol.train(MODEL, distilled, evaluation, 0.05, stream)
    module, order_of = (
        Module(MODEL.initial_parameters(stream.child("initial").generator())),
        stream.child("order").generator(),
    )
    for rate, passes in ((0.05, 5), (0.05 * evaluation.decay, 2)):
        optimiser = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
        for rows in (r for _ in range(passes) for r in torch.randperm(20, generator=order_of).split(batch)):
            optimiser.zero_grad()
            functional.cross_entropy(module(distilled.images_NCHW[rows]), distilled.labels[rows]).backward()
            optimiser.step()
    torch.testing.assert_close(ours.theta_P, module.packed(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(MODEL.pack(ours.statistics), module.statistics(), rtol=1e-3, atol=1e-4)
    assert accuracy(MODEL, ours.theta_P, test, ours.statistics) == pytest.approx(module.percent(test), abs=1.0)
    with pytest.raises(ValueError, match="not those of this network"):
        accuracy(MODEL, ours.theta_P, test)


def test_a_student_normalises_by_its_own_batches(normed: Path) -> None:
    """Its inner steps are those of the module in training mode, and its hypergradients agree."""
    model = build("convnet2-w4-batch-swish", channels=1, image_size=8, classes=10)
    train = store.load(normed / "artifacts/data/tiny/train.zarr", "train")
    images, labels = train.images_NCHW[:10].double(), train.labels_N[:10]
    start_P, target_P = (
        model.initial_parameters(Stream.root(0, name).generator(), torch.float64) for name in ("one", "two")
    )
    batches = student.draw_batches(10, 4, 4, torch.Generator().manual_seed(0))
    inner = make_inner_training(model)
    keywords = {
        "labels": labels,
        "step_size": torch.tensor(0.3, dtype=torch.float64),
        "start_P": start_P,
        "draws": InnerDraws(batches, (None,) * 4),
    }
    theta_P = start_P.clone()
    for rows in batches:
        leaf = theta_P.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(model(leaf, images[rows]), labels[rows]), leaf)
        theta_P = (leaf - 0.3 * gradient).detach()
    objective = partial(trajectory_distance, start_P=start_P, target_P=target_P)

    def problem(at: Tensor) -> HypergradientProblem:
        return HypergradientProblem(inner, images_NCHW=at, objective=objective, **keywords)

    torch.testing.assert_close(student.train_student_without_graph(problem(images))[0][-1], theta_P)

    def loss(at: Tensor) -> Tensor:
        return exact.compute_hypergradient(problem(at)).loss

    ours, theirs = (kind.compute_hypergradient(problem(images)).gradients for kind in (exact, unrolled))
    torch.testing.assert_close(ours.images, theirs.images, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(ours.step_size, theirs.step_size, rtol=1e-8, atol=1e-12)
    towards, h = images.sin(), 1e-5
    slope = (loss(images + h * towards) - loss(images - h * towards)) / (2 * h)
    torch.testing.assert_close(slope, (ours.images * towards).sum(), rtol=1e-5, atol=0)


def test_herding_sees_the_features_of_the_module_in_evaluation_mode(normed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(normed, tmp_path / "root"))
    job = repository.make(root, "distill", **{**repository.CELL, "method": "herding", "ipc": 3})
    found = synthetic_set.load(root / job.outputs["synthetic"])
    train = store.load(root / "artifacts/data/tiny/train.zarr", "train")
    experts = RecordedTrajectories([root / STORE], ParameterLayout.from_specs(NETWORK, MODEL.layout))
    module = Module(experts.at(0, 4)).eval()
    for norm, values in zip(module.norms, experts.statistics_at(0, 4).split(16), strict=True):
        norm.running_mean, norm.running_var = values.split(8)
    with torch.no_grad():
        for label in range(10):
            members = torch.nonzero(train.labels_N == label).flatten()
            chosen = members[herding.choose_rows(module.body(train.images_NCHW[members]), 3)]
            assert torch.equal(found.images_NCHW[3 * label : 3 * label + 3], train.images_NCHW[chosen])


def test_batch_norm_goes_from_experts_to_scores(normed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(normed, tmp_path / "root"))
    words = {**repository.CELL, "evaluation": "digits", "network": "convnet2-w16-batch"}
    repository.make_inputs(root, "evaluate", **words)
    job = repository.make(root, "evaluate", **words)
    scores = json.loads((root / job.outputs["scores"]).read_text())
    assert scores["network"] == "convnet2-w16-batch"
    assert scores["mean"] > 20.0  # of ten classes, after twenty passes over ten images


def test_what_batch_norm_makes_senseless_is_refused(normed: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(normed, tmp_path / "root"))
    repository.set_params(root, "methods/mtt.yaml", {"matching.hypergradient.micro_batch": 3})
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("distill", **repository.CELL)
    assert str(caught.value) == (
        "params/methods/mtt.yaml: matching.hypergradient.micro_batch: convnet2-w8-batch has batch norm: the images of "
        "a batch influence each other, so a batch cannot be split; write null"
    )
    origin = {"kind": "imported", "digest": f"sha256:{0:064d}"}
    repository.set_params(root, "experts/plain.yaml", {"origin": origin})
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("distill", **{**repository.CELL, "method": "herding"})
    assert str(caught.value) == (
        "params/methods/herding.yaml: matching.selection.experts: published experts hold no running statistics, which "
        "the features of convnet2-w8-batch need; name experts that are trained here, or of a network without batch norm"
    )


@pytest.mark.parametrize(
    "name", ["alexnet-bn", "vgg11-bn", "vgg16-bn", "resnet18-bn", "resnet18-ap-bn", "convnet3-batch"]
)
def test_every_batch_norm_network_takes_the_steps_of_its_torch_module(name: str) -> None:
    """Two steps of torch.optim.SGD in float64, on 28x28 images: parameters, statistics, and the logits after."""
    random, model = Stream.root(0, name), build(name, channels=1, image_size=28, classes=10)
    theta_P = model.initial_parameters(random.child("start").generator(), torch.float64)
    module = parse(name).build(channels=1, image_size=28, classes=10).double()
    module.load_state_dict(model.unflatten(theta_P))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = True
            layer.running_mean = torch.zeros(layer.num_features, dtype=torch.float64)
            layer.running_var = torch.ones(layer.num_features, dtype=torch.float64)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    ours, statistics = SGD(0.01, 0.9, 5e-4), model.initial_statistics(torch.float64)
    images = torch.randn(3, 3, 1, 28, 28, generator=random.child("images").generator(), dtype=torch.float64)
    for batch, labels in zip(images[:2], torch.tensor([[0, 1, 2], [3, 4, 5]]), strict=True):
        optimiser.zero_grad()
        functional.cross_entropy(module(batch), labels).backward()
        optimiser.step()
        _, gradient_P, seen = forward_backward(model, theta_P, batch, labels)
        theta_P, statistics = ours.step(theta_P, gradient_P), updated_statistics(statistics, seen)
    torch.testing.assert_close(theta_P, model.flatten(list(module.parameters())).detach(), rtol=1e-8, atol=1e-10)
    buffers = dict(module.named_buffers())
    torch.testing.assert_close(statistics, {key: buffers[key] for key in statistics}, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(model(theta_P, images[2], statistics), module.eval()(images[2]), rtol=1e-6, atol=1e-8)
