"""Laws of the written-out derivatives: autograd's numbers, its errors in float32 at most, and less memory."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.analytic_derivatives import AnalyticDerivatives
from dcpipe.distillation.hypergradient.autograd_derivatives import AutogradDerivatives
from dcpipe.distillation.hypergradient.hypergradient_problem import PullbackResult, StepDerivatives
from dcpipe.models.analytic_networks import stored_numbers_per_image
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.models.flat import FlatModel
from dcpipe.random import Stream


class Shape(NamedTuple):
    """A network and the images that it sees."""

    network: str
    channels: int
    image_size: int
    classes: int
    batch: int

    @property
    def derivatives(self) -> ConvNetDerivatives:
        found = ConvNetDerivatives.from_name(
            self.network, channels=self.channels, image_size=self.image_size, classes=self.classes
        )
        assert found is not None
        return found

    @property
    def model(self) -> FlatModel:
        return build(self.network, channels=self.channels, image_size=self.image_size, classes=self.classes)


SHAPES = (
    Shape("convnet2-w8", 1, 8, 10, 4),
    Shape("convnet3-w16", 3, 32, 7, 3),
    Shape("convnet3-w8", 1, 28, 10, 2),  # padded to 32
    Shape("convnet3-w8", 3, 8, 10, 3),  # its last features are one pixel
    Shape("convnet4-w4", 3, 64, 3, 1),
    Shape("convnet1-w1", 2, 6, 2, 5),
)


@dataclass(frozen=True)
class Point:
    """Where derivatives are compared: parameters away from their initial values, a batch, and a vector."""

    theta_P: Tensor
    x_BCHW: Tensor
    labels: Tensor
    v_P: Tensor

    @classmethod
    def of(cls, shape: Shape, *, soft: bool = False, dtype: torch.dtype = torch.float64) -> "Point":
        generator, model = Stream.root(0, *shape).generator(), shape.model
        theta_P = model.initial_parameters(generator, torch.float64)
        theta_P += 0.2 * torch.randn(len(theta_P), generator=generator, dtype=torch.float64)
        images = (shape.batch, shape.channels, shape.image_size, shape.image_size)
        x_BCHW = torch.randn(images, generator=generator, dtype=torch.float64)
        logits = torch.randn(shape.batch, shape.classes, generator=generator, dtype=torch.float64)
        v_P = torch.randn(len(theta_P), generator=generator, dtype=torch.float64)
        labels = logits.to(dtype) if soft else logits.argmax(1)
        return cls(theta_P.to(dtype), x_BCHW.to(dtype), labels, v_P.to(dtype))

    def answer(self, way: StepDerivatives) -> tuple[Tensor, PullbackResult]:
        part = way.gradient_with_pullback(self.theta_P, self.x_BCHW, self.labels)
        return part.gradient, part.pullback(self.v_P, through_parameters=True)

    def numbers(self, way: StepDerivatives) -> list[Tensor]:
        gradient_P, pulled = self.answer(way)
        return [gradient_P, *(one for one in pulled if one is not None)]


def close(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_derivatives_are_those_of_autograd(shape: Shape, soft: bool) -> None:
    point = Point.of(shape, soft=soft)
    close(point.numbers(AnalyticDerivatives(shape.derivatives)), point.numbers(AutogradDerivatives(shape.model)), 1e-12)


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[3], SHAPES[5]], ids=str)  # small: no ReLU turns on the way
def test_the_pullback_is_the_derivative_of_the_gradient(shape: Shape) -> None:
    """By central differences along a line through parameters, images and logits at once, of gradients alone."""
    point, h = Point.of(shape, soft=True), 1e-7
    way = AnalyticDerivatives(shape.derivatives)
    _, pulled = point.answer(way)
    along = [torch.sin(7 * one + 1) for one in (point.theta_P, point.x_BCHW, point.labels)]

    def slope(step: float) -> Tensor:
        moved = [one + step * by for one, by in zip((point.theta_P, point.x_BCHW, point.labels), along, strict=True)]
        return way.gradient(moved[0], moved[1], moved[2]) @ point.v_P

    assert pulled.theta is not None
    assert pulled.labels is not None
    wanted = pulled.theta @ along[0] + (pulled.images * along[1]).sum() + (pulled.labels * along[2]).sum()
    torch.testing.assert_close((slope(h) - slope(-h)) / (2 * h), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_float32_is_as_near_to_float64_as_autograd_has_it(shape: Shape) -> None:
    single, double = Point.of(shape, dtype=torch.float32), Point.of(shape)
    right = double.numbers(AutogradDerivatives(shape.model))

    def errors(way: StepDerivatives) -> Tensor:
        pairs = zip(single.numbers(way), right, strict=True)
        return torch.stack([(one - other).norm() / other.norm() for one, other in pairs])

    ours, theirs = errors(AnalyticDerivatives(shape.derivatives)), errors(AutogradDerivatives(shape.model))
    assert bool((ours < 2 * theirs + 1e-7).all()), (ours, theirs)


def test_a_pullback_of_the_data_has_the_same_bits_and_no_more() -> None:
    point, way = Point.of(SHAPES[1], dtype=torch.float32), AnalyticDerivatives(SHAPES[1].derivatives)
    part = way.gradient_with_pullback(point.theta_P, point.x_BCHW, point.labels)
    whole = part.pullback(point.v_P, through_parameters=True)
    data = part.pullback(point.v_P, through_parameters=False)
    assert data.theta is None
    assert torch.equal(data.images, whole.images)
    assert torch.equal(way.gradient(point.theta_P, point.x_BCHW, point.labels), part.gradient)


def test_a_channel_that_says_nothing_is_no_division_by_zero() -> None:
    shape = SHAPES[0]
    point = Point.of(shape)
    tensors = shape.model.unflatten(point.theta_P)  # views: these lines change the point
    tensors["blocks.0.conv.weight"][2] = 0
    tensors["blocks.1.norm.weight"][3] = 0
    close(point.numbers(AnalyticDerivatives(shape.derivatives)), point.numbers(AutogradDerivatives(shape.model)), 1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(value: float) -> None:
    point = Point.of(SHAPES[0])
    point.x_BCHW[1, 0, 3, 3] = value
    gradient_P, pulled = point.answer(AnalyticDerivatives(SHAPES[0].derivatives))
    assert not gradient_P.isfinite().all()
    assert not pulled.images[1].isfinite().all()


def test_a_kept_gradient_takes_little_more_than_half_of_its_graph() -> None:
    shape = Shape("convnet3", 3, 32, 10, 10)
    with torch.device("meta"):
        theta_P, x_BCHW = torch.empty(shape.model.num_parameters), torch.empty(10, 3, 32, 32)
        labels = torch.empty(10, dtype=torch.int64)
    ours, theirs = (
        way.kept_bytes(theta_P, x_BCHW, labels)
        for way in (AnalyticDerivatives(shape.derivatives), AutogradDerivatives(shape.model))
    )
    assert 0 < ours < 0.55 * theirs


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_planning_counts_what_a_gradient_keeps(shape: Shape) -> None:
    with torch.device("meta"):
        theta_P = torch.empty(shape.model.num_parameters)
        x_BCHW = torch.empty(shape.batch, shape.channels, shape.image_size, shape.image_size)
        labels = torch.empty(shape.batch, dtype=torch.int64)
    kept = AnalyticDerivatives(shape.derivatives).kept_bytes(theta_P, x_BCHW, labels)
    network, channels, image_size, classes, batch = shape
    planned = stored_numbers_per_image(network, channels=channels, image_size=image_size, classes=classes)
    assert planned is not None
    pixels = 2 * x_BCHW[0].numel()  # kept beside the gradient: images before and after the augmentation
    assert kept == 4 * (batch * (planned - pixels) + len(theta_P))


@pytest.mark.parametrize(
    "name",
    ["convnet2-w8-group", "convnet2-w8-batch", "convnet2-w8-swish", "convnet2-w8-maxpool", "convnet2-nopool", "mlp"],
)
def test_other_networks_are_left_to_autograd(name: str) -> None:
    assert ConvNetDerivatives.from_name(name, channels=1, image_size=8, classes=10) is None


def test_sides_that_do_not_halve_are_left_to_autograd() -> None:
    assert ConvNetDerivatives.from_name("convnet2-w8", channels=1, image_size=10, classes=10) is None
