"""`micro_batch: auto`: as many images as fit, known from shapes, alike when planned and when run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.distillation.hypergradient import graph_sizes, hypergradient_config
from dcpipe.distillation.hypergradient.hypergradient_config import Exact
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerDraws
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.errors import UserError
from dcpipe.models.analytic_networks import stored_numbers_per_image
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.params.network_name import parse
from dcpipe.params.trajectory_axes import AUTO_MICRO_BATCH_BYTES
from dcpipe.params.work import InnerSizes
from dcpipe.workflow.graph import Graph

DIGITS = {"channels": 1, "image_size": 8, "classes": 10}
CIFAR10 = {"channels": 3, "image_size": 32, "classes": 10}
AUTO = Exact(kind="exact", micro_batch="auto")


def images_within(budget: int, network: str, shape: dict[str, int]) -> int:
    model = build(network, **shape)
    inner = make_inner_training(model, derivatives=ConvNetDerivatives.from_name(network, **shape))
    pixels = (shape["channels"], shape["image_size"], shape["image_size"])
    return graph_sizes.images_within(budget, inner, model.num_parameters, pixels)


@pytest.mark.parametrize("network", ["convnet2-w8", "convnet2-w8-group", "mlp"])
def test_one_image_more_would_not_fit(network: str) -> None:
    budget = 10**6
    most = images_within(budget, network, DIGITS)
    model = build(network, **DIGITS)
    inner = make_inner_training(model, derivatives=ConvNetDerivatives.from_name(network, **DIGITS))

    def step_bytes(images: int) -> int:
        draws = InnerDraws((torch.arange(images),), (None,))
        pixels, labels = torch.zeros(images, 1, 8, 8), torch.zeros(images, dtype=torch.int64)
        start = torch.zeros(model.num_parameters)
        learned = {"images_NCHW": pixels, "labels": labels, "step_size": torch.tensor(0.1)}
        return graph_sizes.step_bytes(
            HypergradientProblem(inner, **learned, start_P=start, objective=torch.sum, draws=draws)
        )

    assert most > 1
    assert step_bytes(most) <= budget < step_bytes(most + 1)


def test_a_compiled_step_is_reckoned_as_autograds() -> None:
    model = build("convnet2-w8-group", **DIGITS)
    eager, compiled = (make_inner_training(model, backend=backend) for backend in ("eager", "compiled"))
    fitting = [graph_sizes.images_within(10**6, inner, model.num_parameters, (1, 8, 8)) for inner in (eager, compiled)]
    assert fitting[0] == fitting[1] < 1000


def test_a_budget_below_one_image_takes_one() -> None:
    assert images_within(1, "convnet2-w8", DIGITS) == 1


@pytest.mark.parametrize(("network", "shape"), [("convnet3", CIFAR10), ("convnet2-w64", DIGITS), ("convnet4", CIFAR10)])
def test_a_plan_reckons_with_what_a_job_takes(network: str, shape: dict[str, int]) -> None:
    kept = stored_numbers_per_image(network, **shape)
    planned = replace(parse(network).size(**shape), kept=kept).images_within(AUTO_MICRO_BATCH_BYTES)
    assert planned == pytest.approx(images_within(AUTO_MICRO_BATCH_BYTES, network, shape), rel=0.05)


def test_a_plan_holds_no_more_than_fits_at_once() -> None:
    size = replace(parse("convnet3").size(**CIFAR10), kept=stored_numbers_per_image("convnet3", **CIFAR10))
    whole = Exact(kind="exact", micro_batch=None)
    peaks = {
        images: [
            kind.estimate_work(InnerSizes(size, 10, images=images, numbers=3072)).peak_bytes for kind in (AUTO, whole)
        ]
        for images in (100, 1000)
    }
    assert peaks[100][0] == peaks[100][1]
    assert peaks[1000][0] < 0.3 * peaks[1000][1]


def test_images_that_influence_each_other_stay_together() -> None:
    assert parse("convnet2-w8-batch").has_running_statistics
    model = build("convnet2-w8-batch", **DIGITS)
    assert AUTO.micro_batch_images(make_inner_training(model), model, (1, 8, 8)) is None
    size = replace(parse("convnet2-w8-batch").size(**DIGITS), has_running_statistics=True)
    assert size.images_within(1) is None


def test_a_job_cuts_its_batches_where_they_do_not_fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for all, the bits of `null`; with room for three, those of `micro_batch: 3`; the card says which."""

    def made(micro_batch: object) -> tuple[bytes, int]:
        repository.set_params(root, "methods/mtt.yaml", {"matching.hypergradient.micro_batch": micro_batch})
        repository.make_inputs(root, "distill", **repository.CELL)
        job = repository.make(root, "distill", **repository.CELL)
        facts = json.loads((root / job.folder / "card.json").read_text())["facts"]
        return (root / job.outputs["synthetic"]).read_bytes(), facts["micro_batch"]

    whole = made(None)
    assert made("auto") == whole
    network = Graph(root).make_job("distill", **repository.CELL).section("network", str)
    sizes = [graph_bytes_of(images, network) for images in (3, 4)]
    monkeypatch.setattr(hypergradient_config, "AUTO_MICRO_BATCH_BYTES", sum(sizes) // 2)
    cut = made("auto")
    assert cut == made(3)
    assert cut[1] == 3
    assert cut[0] != whole[0]
    assert whole[1] == 10


def graph_bytes_of(images: int, network: str) -> int:
    """The smallest budget that holds so many."""
    low, high = 1, 10**9
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if images_within(middle, network, DIGITS) >= images else (middle + 1, high)
    return low


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("aut", "input should be a valid integer, or 'auto' (it is \"aut\")"),
        (0, "input should be greater than or equal to 1, or 'auto' (it is 0)"),
    ],
)
def test_what_is_neither_a_count_nor_a_word_is_refused(wrong: object, told: str, root: Path) -> None:
    repository.set_params(root, "methods/mtt.yaml", {"matching.hypergradient.micro_batch": wrong})
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("distill", **repository.CELL)
    assert str(caught.value) == f"params/methods/mtt.yaml: matching.hypergradient.micro_batch: {told}"
