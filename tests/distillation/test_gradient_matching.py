"""Laws of gradient matching: what its levels, its derivative and its memory are. Real digits, small networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import finalize

import pytest
import torch
from matched import Matched, matched, slope
from torch import Tensor

from dcpipe.distillation.distances.magnitude_config import Magnitude, NoMagnitude
from dcpipe.distillation.distances.rows_config import WholeRow
from dcpipe.distillation.levels.levels_config import Inter, Interleaved, Intra, MultiLevel
from dcpipe.distillation.matching.gradient_config import GradientDistanceConfig
from dcpipe.distillation.student import inner_gradient
from dcpipe.random import Stream

SMOOTH = "convnet2-w4-sigmoid"  # central differences ask for a network without kinks
ALL_FAMILIES = "color_crop_cutout_flip_scale_rotate"
INTRA = Intra(kind="intra-class")
INTER = Inter(kind="inter-class", weight="classes")
MULTI = MultiLevel(kind="multi-level", weight="classes")
DC = GradientDistanceConfig(angle=1.0, magnitude=NoMagnitude(kind="none"))
MD = GradientDistanceConfig(angle=1.0, magnitude=Magnitude(kind="euclidean", weight=1.0))
COS = replace(DC, rows=WholeRow(kind="whole"))


def _gradients(case: Matched, episode: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Of each class: the gradients of the set's images, and of the real ones."""
    theta_P, apply, synthetic = episode.network.theta_P, case.matching._parts.model, case.synthetic
    own, real = [], []
    for draw in episode.classes:
        rows = synthetic.labels == draw.label
        images = draw.augmented(synthetic.images_NCHW[rows])
        own.append(inner_gradient(apply, theta_P, images, synthetic.labels[rows]))
        labels = case.train.labels_N[draw.real_rows]
        assert set(labels.tolist()) == {draw.label}
        real.append(inner_gradient(apply, theta_P, draw.augmented(case.train.images_NCHW[draw.real_rows]), labels))
    return own, real


def _distance(case: Matched, a_P: Tensor, b_P: Tensor) -> Tensor:
    return case.matching._distance(a_P, b_P, case.matching._parts.model.layout)


def _answer(case: Matched, episode: Any) -> tuple[Tensor, Tensor]:
    answer = replace(episode, matching=case.matching).evaluate(case.synthetic)
    return answer.gradients.images, answer.loss


@pytest.mark.parametrize("augmentation", ["none", ALL_FAMILIES])
@pytest.mark.parametrize("levels", [INTRA, INTER, MULTI])
def test_the_derivative_is_that_of_central_differences(levels: Any, augmentation: str, made: Path) -> None:
    case = matched(made, "gm-md", network=SMOOTH, levels=levels, augmentation=augmentation)
    episode = case.begin()
    found, _ = _answer(case, episode)
    for name in ("one way", "another"):
        way = torch.randn(found.shape, generator=Stream.root(0, name).generator(), dtype=torch.float64)
        assert float((found * way).sum()) == pytest.approx(slope(case, episode, way), rel=1e-5)


@pytest.mark.parametrize("distance", [DC, MD])
@pytest.mark.parametrize("levels", [INTRA, INTER, MULTI, MultiLevel(kind="multi-level", weight=3.0)])
def test_the_loss_is_equation_6_written_out(levels: Any, distance: GradientDistanceConfig, made: Path) -> None:
    case = matched(made, "dc", levels=levels, distance=distance)
    episode = case.begin()
    own, real = _gradients(case, episode)
    intra = sum(_distance(case, a, b) for a, b in zip(own, real, strict=True))
    inter = _distance(case, torch.stack(own).mean(0), torch.stack(real).mean(0))
    weight = 0.0 if levels is INTRA else 10.0 if levels.weight == "classes" else levels.weight
    wanted = (0.0 if levels is INTER else intra) + weight * inter
    torch.testing.assert_close(_answer(case, episode)[1], wanted, rtol=1e-10, atol=0)


def test_the_mean_gradient_of_the_classes_is_that_of_all_their_images(made: Path) -> None:
    """Equation 5: no further pass is needed to match the gradient of the union of the batches."""
    case = matched(made, "gm-m", levels=INTER, real_batch=7)
    episode = case.begin()
    theta_P, apply = episode.network.theta_P, case.matching._parts.model
    rows = torch.cat([draw.real_rows for draw in episode.classes])
    own = inner_gradient(apply, theta_P, case.synthetic.images_NCHW, case.synthetic.labels)
    real = inner_gradient(apply, theta_P, case.train.images_NCHW[rows], case.train.labels_N[rows])
    torch.testing.assert_close(_answer(case, episode)[1], 10 * _distance(case, own, real), rtol=1e-10, atol=0)


def test_the_mean_counts_images_where_classes_have_different_numbers(made: Path) -> None:
    case = matched(made, "gm-m", levels=INTER)
    episode = case.begin()
    kept = torch.ones(20, dtype=torch.bool)
    kept[[1, 3]] = False  # one image of the first two classes, two of the others
    synthetic = replace(
        case.synthetic, images_NCHW=case.synthetic.images_NCHW[kept], labels=case.synthetic.labels[kept]
    )
    classes = tuple(replace(draw, real_rows=draw.real_rows[: 2 + draw.label % 3]) for draw in episode.classes)
    episode = replace(episode, classes=classes)
    theta_P, apply = episode.network.theta_P, case.matching._parts.model
    rows = torch.cat([draw.real_rows for draw in classes])
    own = inner_gradient(apply, theta_P, synthetic.images_NCHW, synthetic.labels)
    real = inner_gradient(apply, theta_P, case.train.images_NCHW[rows], case.train.labels_N[rows])
    loss = episode.evaluate(synthetic).loss
    torch.testing.assert_close(loss, 10 * _distance(case, own, real), rtol=1e-10, atol=0)


def test_a_level_of_no_weight_is_dc_bit_for_bit(made: Path) -> None:
    dc = matched(made, "dc")
    none = matched(made, "gm-m", levels=MultiLevel(kind="multi-level", weight=0.0))
    episode = dc.begin()
    for a, b in zip(_answer(dc, episode), _answer(none, episode), strict=True):
        assert torch.equal(a, b)


def test_with_one_class_both_levels_are_one(made: Path) -> None:
    """Then the loss is (1 + lambda) D."""
    for weight in (1.0, 3.0, "classes"):
        levels = MultiLevel(kind="multi-level", weight=weight)
        multi, dc = matched(made, "gm-md", levels=levels, classes=1), matched(made, "dc", distance=MD, classes=1)
        factor = 1 + (1.0 if weight == "classes" else weight)
        episode = dc.begin()
        for one, both in zip(_answer(dc, episode), _answer(multi, episode), strict=True):
            torch.testing.assert_close(both, factor * one, rtol=1e-9, atol=1e-12)


def test_interleaved_is_each_level_in_turn(made: Path) -> None:
    turns = matched(made, "gm-m", levels=Interleaved(kind="interleaved", weight="classes"))
    levels = [matched(made, "gm-m", levels=INTRA), matched(made, "gm-m", levels=INTER)]
    for iteration, update in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)):
        episode = replace(turns.begin(iteration), update=update)
        wanted = _answer(levels[(iteration + update) % 2], episode)
        assert all(torch.equal(a, b) for a, b in zip(_answer(turns, episode), wanted, strict=True))


@pytest.mark.parametrize("distance", [MD, COS])
@pytest.mark.parametrize("levels", [INTRA, MULTI])
def test_the_sum_of_the_classes_derivatives_is_that_of_one_graph(
    levels: Any, distance: GradientDistanceConfig, made: Path
) -> None:
    case = matched(made, "gm-md", levels=levels, distance=distance, augmentation=ALL_FAMILIES)
    episode = case.begin()
    _, real = _gradients(case, episode)
    leaf = case.synthetic.images_NCHW.clone().requires_grad_()
    theta_P = episode.network.theta_P.requires_grad_()
    own = []
    for draw in episode.classes:
        rows = case.synthetic.labels == draw.label
        logits = case.matching._parts.model(theta_P, draw.augmented(leaf[rows]))
        loss = torch.nn.functional.cross_entropy(logits, case.synthetic.labels[rows])
        own += torch.autograd.grad(loss, theta_P, create_graph=True)
    total = sum(_distance(case, a, b) for a, b in zip(own, real, strict=True))
    if levels is MULTI:
        total = total + 10 * _distance(case, torch.stack(own).mean(0), torch.stack(real).mean(0))
    (joint,) = torch.autograd.grad(total, leaf)
    torch.testing.assert_close(_answer(case, episode)[0], joint, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("levels", [INTRA, MULTI])
def test_the_graphs_of_classes_do_not_pile_up(levels: Any, made: Path) -> None:
    """The most that is held for derivatives at any time is that of one class, however many there are."""
    most = {}
    for classes in (2, 10):
        case = matched(made, "gm-md", levels=levels, classes=classes, network="convnet2-w32")
        episode, held = case.begin(), _Held()
        with torch.autograd.graph.saved_tensors_hooks(held.pack, held.unpack):
            _answer(case, episode)
        most[classes] = held.most
    assert 0 < most[10] < 1.2 * most[2]


class _Held:
    """Counts the bytes of tensors that graphs hold."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:
        size = tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        box = _Box(tensor)
        finalize(box, self._freed, size)
        return box

    def unpack(self, box: Any) -> Tensor:
        return box.tensor

    def _freed(self, size: int) -> None:
        self.now -= size


class _Box:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def test_the_compared_images_themselves_have_distance_epsilon(made: Path) -> None:
    """Each row is eps / (its square + eps) from itself, not 0."""
    for method in ("dc", "gm-md"):
        case = matched(made, method, augmentation=ALL_FAMILIES)
        episode = case.begin()
        rows = torch.cat([draw.real_rows for draw in episode.classes])
        same = replace(case.synthetic, images_NCHW=case.train.images_NCHW[rows], labels=case.train.labels_N[rows])
        same_as = Matched(case.matching, case.train, same)
        own, real = _gradients(same_as, episode)
        assert all(torch.equal(a, b) for a, b in zip(own, real, strict=True))
        far, near = _answer(case, episode), _answer(same_as, episode)
        squares = [x.square().sum(1) for g in own for x in _rows(case, g)]
        alive = sum(int((s > 0).sum()) for s in squares)
        wanted = sum(float((1e-6 / (s + 1e-6)).sum()) for s in squares)
        if method == "dc":
            assert float(near[1]) == pytest.approx(wanted, rel=1e-6)
            assert float(near[1]) < 0.05 * alive
        assert float(near[0].norm()) < 0.05 * float(far[0].norm())


def _rows(case: Matched, gradient_P: Tensor) -> list[Tensor]:
    parts = case.matching._parts.model.unflatten(gradient_P).values()
    return [part.flatten(1) for part in parts if part.ndim > 1]


def test_the_order_of_images_within_a_class_does_not_matter(made: Path) -> None:
    case = matched(made, "gm-md")
    episode = case.begin()
    order = torch.arange(20).view(10, 2).flip(1).flatten()
    turned = Matched(case.matching, case.train, replace(case.synthetic, images_NCHW=case.synthetic.images_NCHW[order]))
    found, again = _answer(case, episode), _answer(turned, episode)
    torch.testing.assert_close(again[0], found[0][order], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(again[1], found[1], rtol=1e-12, atol=0)


def test_both_sides_of_a_class_are_augmented_alike_classes_differently(made: Path) -> None:
    case = matched(made, "dsa", augmentation="scale")
    draws = case.begin().classes
    image = case.train.images_NCHW[:1].expand(3, -1, -1, -1)
    seen = [draw.augmented(image) for draw in draws]
    assert all(torch.equal(x[0], x[1]) for x in seen)
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(case.begin(1).classes[0].augmented(image), seen[0])
