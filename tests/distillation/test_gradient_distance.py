"""Laws of the distances between gradients."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dcpipe.distillation.distances.gradient_rows import rows_per_output as rows
from dcpipe.distillation.distances.magnitude_config import Magnitude, NoMagnitude
from dcpipe.distillation.distances.row_distances import EPSILON, MAGNITUDES, cosine_distance, euclidean
from dcpipe.distillation.distances.rows_config import WholeRow
from dcpipe.distillation.matching.gradient_config import GradientDistanceConfig
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel, TensorSpec
from dcpipe.random import Stream

NONE = NoMagnitude(kind="none")
DC = GradientDistanceConfig(angle=1.0, magnitude=NONE)
TABLE_2 = {
    "d1": DC,
    "d2": GradientDistanceConfig(angle=0.0, magnitude=Magnitude(kind="euclidean", weight=1.0)),
    "d3": GradientDistanceConfig(angle=0.0, magnitude=Magnitude(kind="squared", weight=1.0)),
    "100 d4": GradientDistanceConfig(angle=0.0, magnitude=Magnitude(kind="mean-squared", weight=100.0)),
    "d1 + d2": GradientDistanceConfig(angle=1.0, magnitude=Magnitude(kind="euclidean", weight=1.0)),
    "d1 + d3": GradientDistanceConfig(angle=1.0, magnitude=Magnitude(kind="squared", weight=1.0)),
    "d1 + 100 d4": GradientDistanceConfig(angle=1.0, magnitude=Magnitude(kind="mean-squared", weight=100.0)),
}


def gradient_distance(
    a_P: Tensor, b_P: Tensor, layout: Sequence[TensorSpec], distance: GradientDistanceConfig
) -> Tensor:
    return distance.build()(a_P, b_P, layout)


def _matrix(name: str, shape: tuple[int, int] = (5, 7)) -> Tensor:
    return torch.randn(shape, generator=Stream.root(0, name).generator(), dtype=torch.float64)


def _model(name: str = "convnet2-w4-layer") -> FlatModel:
    return build(name, channels=1, image_size=8, classes=3)


def _vector(name: str, model: FlatModel) -> Tensor:
    return torch.randn(model.num_parameters, generator=Stream.root(0, name).generator(), dtype=torch.float64)


def test_a_row_is_epsilon_over_its_square_plus_epsilon_from_itself() -> None:
    a = _matrix("a")
    squares = a.square().sum(dim=1)
    torch.testing.assert_close(cosine_distance(a, a), EPSILON / (squares + EPSILON), rtol=1e-9, atol=1e-15)
    for distance in MAGNITUDES.values():
        assert torch.equal(distance(a, a), torch.zeros(5, dtype=torch.float64))


def test_the_angle_is_that_of_trigonometry_and_lies_between_0_and_2() -> None:
    turned = torch.tensor([[math.cos(t), math.sin(t)] for t in (0.0, 0.5, math.pi / 2, 2.0, math.pi)]).double()
    east = torch.tensor([[1.0, 0.0]]).double().expand(5, 2)
    wanted = torch.tensor([1 - math.cos(t) for t in (0.0, 0.5, math.pi / 2, 2.0, math.pi)]).double()
    torch.testing.assert_close(cosine_distance(turned, east), wanted, rtol=0, atol=2e-6)
    far = cosine_distance(_matrix("a", (1000, 3)), _matrix("b", (1000, 3)))
    assert 0 <= float(far.min()) < 0.1
    assert 1.9 < float(far.max()) <= 2


def test_the_angle_knows_no_lengths_and_magnitudes_do() -> None:
    a, b = 100 * _matrix("a"), 100 * _matrix("b")
    factors = torch.tensor([0.5, 1.0, 2.0, 30.0, 7.0]).double()[:, None]
    torch.testing.assert_close(cosine_distance(factors * a, b), cosine_distance(a, b), rtol=0, atol=1e-9)
    torch.testing.assert_close(cosine_distance(a, factors * b), cosine_distance(a, b), rtol=0, atol=1e-9)
    for distance in MAGNITUDES.values():
        assert not torch.allclose(distance(factors * a, b), distance(a, b), rtol=0.1)


def test_magnitudes_are_worked_out_by_hand() -> None:
    a, b = torch.tensor([[3.0, 4.0, 0.0, 0.0]]), torch.zeros(1, 4)
    found = {name: float(distance(a, b)) for name, distance in MAGNITUDES.items()}
    assert found == {"euclidean": 5.0, "squared": 25.0, "mean-squared": 6.25}


@pytest.mark.parametrize("distance", [cosine_distance, *MAGNITUDES.values()])
def test_rows_of_zeros_and_equal_rows_have_a_derivative(distance) -> None:  # type: ignore[no-untyped-def]
    a = _matrix("a")
    a[0], a[1] = 0.0, _matrix("b")[1]
    leaf = a.clone().requires_grad_()
    (found,) = torch.autograd.grad(distance(leaf, _matrix("b")).sum(), leaf)
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found[1], torch.zeros(7, dtype=torch.float64), rtol=0, atol=1e-6)
    assert float(found[2].norm()) > 0


@pytest.mark.parametrize("name", TABLE_2)
def test_a_distance_is_the_sum_over_layers_and_outputs(name: str) -> None:
    """Convolutions and norms of layers count by output; biases and other single rows of numbers count nothing."""
    model, distance = _model(), TABLE_2[name]
    a, b = _vector("a", model), _vector("b", model)
    wanted = torch.zeros((), dtype=torch.float64)
    for spec in model.layout:
        if len(spec.shape) == 1:
            continue
        x, y = model.unflatten(a)[spec.name], model.unflatten(b)[spec.name]
        for row in range(spec.shape[0]):
            u, v = x[row].flatten(), y[row].flatten()
            wanted += distance.angle * (1 - (u @ v) / (u.norm() * v.norm() + EPSILON))
            if isinstance(distance.magnitude, Magnitude):
                gap = {
                    "euclidean": (u - v).norm(),
                    "squared": ((u - v) ** 2).sum(),
                    "mean-squared": ((u - v) ** 2).mean(),
                }
                wanted += distance.magnitude.weight * gap[distance.magnitude.kind]
    torch.testing.assert_close(gradient_distance(a, b, model.layout, distance), wanted, rtol=1e-12, atol=0)


def test_what_has_one_dimension_counts_nothing() -> None:
    model = _model("convnet2-w4")
    a, b = _vector("a", model), _vector("b", model)
    parts = model.unflatten(a)
    changed = model.flatten({name: 9.0 * part if part.ndim == 1 else part for name, part in parts.items()})
    assert not torch.equal(a, changed)
    for distance in TABLE_2.values():
        assert torch.equal(
            gradient_distance(a, b, model.layout, distance), gradient_distance(changed, b, model.layout, distance)
        )
    shapes = [tuple(row.shape) for row in rows(a, model.layout)]
    assert shapes == [(4, 9), (4, 36), (3, 16)]


def test_norms_of_layers_have_a_row_for_each_channel() -> None:
    model = _model("convnet2-w4-layer")
    shapes = [tuple(row.shape) for row in rows(_vector("a", model), model.layout)]
    assert shapes == [(4, 9), (4, 64), (4, 64), (4, 36), (4, 16), (4, 16), (3, 16)]


def test_a_magnitude_of_no_weight_is_the_distance_of_dc() -> None:
    model = _model()
    a, b = _vector("a", model), _vector("b", model)
    dc = gradient_distance(a, b, model.layout, DC)
    euclid = sum(euclidean(x, y).sum() for x, y in zip(rows(a, model.layout), rows(b, model.layout), strict=True))
    for weight in (1.0, 0.1, 1e-300):
        distance = GradientDistanceConfig(angle=1.0, magnitude=Magnitude(kind="euclidean", weight=weight))
        torch.testing.assert_close(
            gradient_distance(a, b, model.layout, distance) - dc, weight * euclid, rtol=1e-9, atol=1e-12
        )
    assert torch.equal(gradient_distance(a, b, model.layout, distance), dc)


@pytest.mark.parametrize("name", TABLE_2)
def test_whole_rows_are_single_vectors_of_all_tensors(name: str) -> None:
    """`cos` and `mse` of DC's public code, and the others alike: biases, scales and shifts count."""
    model, distance = _model("convnet2-w4"), replace(TABLE_2[name], rows=WholeRow(kind="whole"))
    a, b = _vector("a", model), _vector("b", model)
    cosine = 1 - (a @ b) / (a.norm() * b.norm() + EPSILON)
    gap = {
        "none": a.new_zeros(()),
        "euclidean": (a - b).norm(),
        "squared": ((a - b) ** 2).sum(),
        "mean-squared": ((a - b) ** 2).mean(),
    }
    wanted = distance.angle * cosine + distance.magnitude.distance_weight * gap[distance.magnitude.kind]
    torch.testing.assert_close(gradient_distance(a, b, model.layout, distance), wanted, rtol=1e-12, atol=0)
    ones = model.flatten({key: 2.0 * part if part.ndim == 1 else part for key, part in model.unflatten(a).items()})
    assert not torch.equal(
        gradient_distance(a, b, model.layout, distance), gradient_distance(ones, b, model.layout, distance)
    )


def test_squared_errors_of_both_rows_differ_by_what_has_one_dimension() -> None:
    model, by_rows = _model("convnet2-w4-nonorm"), TABLE_2["d3"]
    a, b = _vector("a", model), _vector("b", model)
    parts = model.unflatten(a)
    same = model.flatten({key: model.unflatten(b)[key] if part.ndim == 1 else part for key, part in parts.items()})
    joined = replace(by_rows, rows=WholeRow(kind="whole"))
    torch.testing.assert_close(
        gradient_distance(same, b, model.layout, joined), gradient_distance(same, b, model.layout, by_rows)
    )
