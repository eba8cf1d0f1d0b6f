"""Laws of distribution matching and of feature alignment. Real digits, small networks."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matched import Matched, matched, slope
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.matching.feature_matching import alignment_loss, discrimination
from dcpipe.models.build import build
from dcpipe.models.layers import LayeredModel
from dcpipe.random import Stream

SMOOTH = "convnet2-w4-sigmoid"  # central differences ask for a network without kinks
ALL_FAMILIES = "color_crop_cutout_flip_scale_rotate"
PRESETS = ("dm", "cafe")


def _answer(case: Matched, episode: Any) -> tuple[Tensor, Tensor]:
    answer = replace(episode, matching=case.matching).evaluate(case.synthetic)
    return answer.gradients.images, answer.loss


def _random(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=Stream.root(0, name).generator(), dtype=torch.float64)


def _same_as_real(case: Matched, episode: Any) -> Matched:
    """The set of the very images that an episode compares it with."""
    rows = torch.cat([draw.real_rows for draw in episode.classes])
    same = replace(case.synthetic, images_NCHW=case.train.images_NCHW[rows], labels=case.train.labels_N[rows])
    return replace(case, synthetic=same)


@pytest.mark.parametrize("augmentation", ["none", ALL_FAMILIES])
@pytest.mark.parametrize("method", PRESETS)
def test_the_derivative_is_that_of_central_differences(method: str, augmentation: str, made: Path) -> None:
    case = matched(made, method, network=SMOOTH, augmentation=augmentation)
    episode = case.begin()
    found, _ = _answer(case, episode)
    for name in ("one way", "another"):
        way = _random(name, *found.shape)
        assert float((found * way).sum()) == pytest.approx(slope(case, episode, way), rel=1e-5)


def test_dm_is_the_squared_gap_of_mean_features_summed_over_classes(made: Path) -> None:
    case = matched(made, "dm", augmentation="none")
    episode = case.begin()
    features = lambda x: case.matching._parts.model.features(episode.network.theta_P, x)  # noqa: E731
    wanted = 0.0
    for draw in episode.classes:
        real, own = (
            case.train.images_NCHW[draw.real_rows],
            case.synthetic.images_NCHW[case.synthetic.labels == draw.label],
        )
        wanted += float((features(real).mean(0) - features(own).mean(0)).square().sum())
    assert float(_answer(case, episode)[1]) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("network", ["native", "convnet2-w8-batch"])
def test_dm_of_the_very_images_it_is_compared_with_is_0_with_derivative_0(network: str, made: Path) -> None:
    case = matched(made, "dm", network=network, augmentation=ALL_FAMILIES)
    episode = case.begin()
    images, loss = _answer(_same_as_real(case, episode), episode)
    assert float(loss) == 0.0
    assert not images.any()
    assert float(_answer(case, episode)[1]) > 0.1


@pytest.mark.parametrize("network", ["convnet2-w8", "convnet2-w8-batch"])
def test_dm_is_blind_to_the_order_of_a_classs_images(network: str, made: Path) -> None:
    case = matched(made, "dm", network=network)
    episode = case.begin()
    order = torch.arange(20).view(10, 2).flip(1).flatten()
    turned = replace(case.synthetic, images_NCHW=case.synthetic.images_NCHW[order])
    (found, loss), (again, same) = _answer(case, episode), _answer(replace(case, synthetic=turned), episode)
    torch.testing.assert_close(again, found[order], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(same, loss, rtol=1e-12, atol=0)


def test_an_images_share_of_dms_derivative_is_one_over_its_class_size(made: Path) -> None:
    """Two equal images move as one would: each by half of it."""
    one, two = matched(made, "dm", ipc=1, augmentation="none"), matched(made, "dm", ipc=2, augmentation="none")
    doubled = replace(two.synthetic, images_NCHW=one.synthetic.images_NCHW.repeat_interleave(2, 0))
    episode = one.begin()
    alone, twice = _answer(one, episode)[0], _answer(replace(two, synthetic=doubled), episode)[0]
    torch.testing.assert_close(2 * twice, alone.repeat_interleave(2, 0), rtol=1e-9, atol=1e-12)


def test_with_batch_norm_dm_normalises_all_classes_together(made: Path) -> None:
    case = matched(made, "dm", network="convnet2-w8-batch", augmentation="none")
    episode, model = case.begin(), case.matching._parts.model
    theta_P = episode.network.theta_P
    rows = torch.cat([draw.real_rows for draw in episode.classes])
    real = model.features(theta_P, case.train.images_NCHW[rows]).unflatten(0, (10, -1)).mean(1)
    own = model.features(theta_P, case.synthetic.images_NCHW).unflatten(0, (10, -1)).mean(1)
    assert float(_answer(case, episode)[1]) == pytest.approx(float((real - own).square().sum()), rel=1e-10)


def test_the_layers_of_a_convnet_are_its_blocks_and_the_heads_input() -> None:
    layered = LayeredModel("convnet3-w4", channels=1, image_size=8, classes=10)
    plain = build("convnet3-w4", channels=1, image_size=8, classes=10)
    theta_P, x_NCHW = layered.initial_parameters(Stream.root(0, "theta").generator()).double(), _random("x", 3, 1, 8, 8)
    first, second, third, features = layered.layer_outputs(theta_P, x_NCHW)
    assert [tuple(x.shape) for x in (first, second, third, features)] == [
        (3, 4, 8, 8),
        (3, 4, 4, 4),
        (3, 4, 2, 2),
        (3, 4),
    ]
    assert torch.equal(features, plain.features(theta_P, x_NCHW))
    assert torch.equal(features, functional.avg_pool2d(third, 2).flatten(1))
    parts = plain.unflatten(theta_P)
    hidden = functional.conv2d(x_NCHW, parts["blocks.0.conv.weight"], parts["blocks.0.conv.bias"], padding=1)
    normed = functional.group_norm(hidden, 4, parts["blocks.0.norm.weight"], parts["blocks.0.norm.bias"])
    torch.testing.assert_close(first, functional.relu(normed), rtol=1e-12, atol=1e-12)
    assert torch.equal(layered(theta_P, x_NCHW), plain(theta_P, x_NCHW)), "hooks are gone"


def test_alignment_is_a_weighted_sum_of_squares_and_0_on_equal_means() -> None:
    a = [_random("a", 2, 3, 3), _random("b", 5)]
    b = [_random("c", 2, 3, 3), _random("d", 5)]
    wanted = 0.25 * (a[0] - b[0]).square().sum() + 3.0 * (a[1] - b[1]).square().sum()
    torch.testing.assert_close(alignment_loss(a, b, [0.25, 3.0]), wanted)
    assert float(alignment_loss(a, a, [0.25, 3.0])) == 0.0
    assert float(alignment_loss(a, b, [0.0, 0.0])) == 0.0


def test_discrimination_is_cross_entropy_of_products_with_the_centres() -> None:
    real, centres = _random("real", 6, 4), _random("centres", 3, 4)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    wanted = 0.0
    for row, label in zip(real, labels.tolist(), strict=True):
        logits = [float(row @ centre) for centre in centres]
        wanted += math.log(sum(map(math.exp, logits))) - logits[label]
    assert float(discrimination(real, labels, centres)) == pytest.approx(wanted, rel=1e-12)
    assert float(discrimination(real, labels, torch.zeros(3, 4).double())) == pytest.approx(6 * math.log(3))


def test_cafe_of_the_compared_images_themselves_is_discrimination_alone(made: Path) -> None:
    for weight in (0.0, 0.01):
        case = matched(made, "cafe-dsa", discrimination_weight=weight, augmentation=ALL_FAMILIES)
        episode = case.begin()
        images, loss = _answer(_same_as_real(case, episode), episode)
        features = [
            case.matching._parts.model.features(
                episode.network.theta_P, draw.augmented(case.train.images_NCHW[draw.real_rows])
            )
            for draw in episode.classes
        ]
        labels = torch.arange(10).repeat_interleave(len(features[0]))
        centres = torch.stack([of_class.mean(0) for of_class in features])
        wanted = weight * discrimination(torch.cat(features), labels, centres)
        torch.testing.assert_close(loss, wanted, rtol=1e-10, atol=0)
        assert bool(images.any()) == (weight > 0)


def test_cafe_without_discrimination_and_with_one_layer_is_dm(made: Path) -> None:
    dm = matched(made, "dm", augmentation="none")
    cafe = matched(made, "cafe", layer_weights=[0.0, 0.0, 1.0], discrimination_weight=0.0)
    episode = dm.begin()
    for a, b in zip(_answer(dm, episode), _answer(cafe, episode), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_cafe_is_one_graphs_derivative_taken_class_by_class(made: Path) -> None:
    case = matched(made, "cafe", layer_weights=[0.1, 1.0, 2.0], discrimination_weight=0.05)
    episode = case.begin()
    theta_P, layers = episode.network.theta_P, case.matching._layered.layer_outputs
    leaf = case.synthetic.images_NCHW.clone().requires_grad_()
    own, total, features = [], torch.zeros((), dtype=torch.float64), []
    for draw in episode.classes:
        real = layers(theta_P, case.train.images_NCHW[draw.real_rows])
        own.append([x.mean(0) for x in layers(theta_P, leaf[case.synthetic.labels == draw.label])])
        features.append(real[-1])
        total = total + alignment_loss(own[-1], [x.mean(0) for x in real], [0.1, 1.0, 2.0])
    centres, labels = torch.stack([means[-1] for means in own]), torch.arange(10).repeat_interleave(6)
    total = total + 0.05 * discrimination(torch.cat(features), labels, centres)
    (joint,) = torch.autograd.grad(total, leaf)
    images, loss = _answer(case, episode)
    torch.testing.assert_close(loss, total.detach(), rtol=1e-10, atol=0)
    torch.testing.assert_close(images, joint, rtol=1e-9, atol=1e-12)


def test_dm_takes_a_fresh_network_for_every_update(made: Path) -> None:
    case = matched(made, "dm")
    first, second = case.begin(0), case.begin(1)
    assert first.next_episode(case.synthetic) is None
    assert not torch.equal(first.network.theta_P, second.network.theta_P)
