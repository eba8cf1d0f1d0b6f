"""Laws of the pass whose gradient is written out: autograd's numbers, wherever networks are trained."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import repository
from dcpipe.data import arrays
from dcpipe.errors import UserError
from dcpipe.experts.analytic_pass import AnalyticPass, analytic_pass
from dcpipe.experts.flatness_config import GsamSteps
from dcpipe.experts.step import TrainingStep, forward_backward
from dcpipe.models.build import build
from dcpipe.workflow.graph import Graph

SHAPE = {"channels": 2, "image_size": 8, "classes": 4}
NETWORK = "convnet2-w8"
MODEL = build(NETWORK, **SHAPE)
MODULE = "modules.experts.analytic_pass"


def _task(batch: int = 6) -> tuple[Tensor, Tensor, torch.Generator]:
    draws = torch.Generator().manual_seed(0)
    theta_P = MODEL.initial_parameters(draws, torch.float64)
    return theta_P, torch.randn(batch, 2, 8, 8, generator=draws, dtype=torch.float64), draws


def _labels(kind: str, draws: torch.Generator) -> Tensor:
    classes = torch.randint(4, (6,), generator=draws)
    if kind == "classes":
        return classes
    if kind == "mixed":
        return 0.3 * torch.nn.functional.one_hot(classes, 4).double() + 0.7 * torch.eye(4, dtype=torch.float64)[0]
    return torch.randn(6, 4, generator=draws, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize("kind", ["classes", "probabilities", "mixed"])
def test_loss_and_gradient_are_autograds_in_double_precision(kind: str) -> None:
    theta_P, images, draws = _task()
    labels = _labels(kind, draws)
    loss, gradient_P, seen = analytic_pass(NETWORK, **SHAPE)(MODEL, theta_P, images, labels)
    wanted_loss, wanted_P, _ = forward_backward(MODEL, theta_P, images, labels)
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient_P, wanted_P, rtol=1e-10, atol=1e-14)
    assert not seen
    assert not loss.requires_grad
    assert not gradient_P.requires_grad


def test_both_passes_of_a_sharpness_aware_step_are_written_out() -> None:
    theta_P, images, draws = _task()
    labels = _labels("classes", draws)
    rule = GsamSteps(kind="gsam", radius=0.05, alpha=0.3, adaptive=False).build()
    steps = [TrainingStep(MODEL, (), rule, one) for one in (analytic_pass(NETWORK, **SHAPE), forward_backward)]
    ours, autograds = (step.direction(theta_P, images, labels)[1] for step in steps)
    torch.testing.assert_close(ours, autograds, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("network", ["convnet2-w8-batch", "mlp", "convnet2-w8-maxpool"])
def test_a_network_without_analytic_gradient_goes_by_autograd(network: str) -> None:
    assert analytic_pass(network, **SHAPE) is forward_backward
    assert isinstance(analytic_pass(NETWORK, **SHAPE), AnalyticPass)


def test_a_loss_beyond_the_smallest_number_stays_finite() -> None:
    theta_P, images, _ = _task()
    theta_P = theta_P.float()
    theta_P[-4:] = torch.tensor([0.0, 0.0, 0.0, -500.0])  # the last class is never predicted
    loss, gradient_P, _ = analytic_pass(NETWORK, **SHAPE)(MODEL, theta_P, images.float(), torch.full((6,), 3))
    assert 80 < float(loss) < 500
    assert bool(torch.isfinite(gradient_P).all())


def test_experts_of_both_backends_take_the_same_path_to_rounding(root: Path) -> None:
    repository.make(root, "data", dataset="tiny")
    words = {"dataset": "tiny", "experts": "plain", "shard": 0}
    stored = []
    for backend in ("eager", "analytic"):
        repository.set_params(root, "experts/plain.yaml", {"compute.backend": backend})
        job = repository.make(root, "experts", **words)
        stored.append(arrays.read(root / job.folder / "trajectory.zarr", "theta"))
    eager, analytic = (torch.from_numpy(one) for one in stored)
    assert torch.equal(eager[:, 0], analytic[:, 0]), "the same initial parameters"
    moved = (eager[:, -1] - eager[:, 0]).norm()
    assert 0 < (eager - analytic).norm() < 1e-4 * moved


def test_an_evaluation_of_both_backends_agrees_and_names_its_code(tiny: Path) -> None:
    words = {**repository.CELL, "evaluation": "digits", "network": "native"}
    before = Graph(tiny).make_job("evaluate", **words)
    assert MODULE not in before.params["code_identity.yaml"]
    eager = json.loads((tiny / before.folder / "scores.json").read_text())["accuracies"]
    repository.set_params(tiny, "evaluations/digits.yaml", {"compute.backend": "analytic"})
    job = repository.make(tiny, "evaluate", **words)
    assert MODULE in job.params["code_identity.yaml"]
    analytic = json.loads((tiny / job.folder / "scores.json").read_text())["accuracies"]
    assert analytic == pytest.approx(eager, abs=3), "of 100 test images or so, few are at the border of two classes"


def test_networks_side_by_side_have_none(root: Path) -> None:
    change = {"compute.backend": "analytic", "side_by_side": 2}
    repository.set_params(root, "evaluations/digits.yaml", change)
    with pytest.raises(UserError, match=r"compute\.backend: networks side by side have no analytic gradients; write"):
        Graph(root).make_job("evaluate", **repository.CELL, evaluation="digits", network="native")
