"""Laws of the applications: spaces, ranks, steps of classes, memories; from the sources, or by another library."""

import math

import pytest
import torch
from scipy.stats import spearmanr

import repository
from dcpipe.data.store import Images
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation.applications import convnet_space, incremental
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.network_name import parse
from dcpipe.random import Stream
from dcpipe.report.ranks import average_ranks, spearman
from dcpipe.report.stored_bytes import interpolated_at

SPACE = (
    (1, 2, 3, 4),
    (32, 64, 128, 256),
    ("sigmoid", "relu", "leakyrelu"),
    ("nonorm", "batch", "layer", "instance", "group"),
    ("nopool", "maxpool", "avgpool"),
)


def test_the_papers_space_has_720_networks_all_different() -> None:
    names = convnet_space.convnet_names(*SPACE, image_size=32)
    assert len(names) == len(set(names)) == 4 * 4 * 3 * 5 * 3
    assert all(parse(name).name == name for name in names)
    assert sorted(convnet_space.shuffle_by_hash(names)) == sorted(names)


def test_the_shipped_preset_is_the_papers_space() -> None:
    task = ParamsLibrary(repository.ROOT).application("convnets-720", "cifar10-zca")[1].task
    assert sorted(task.candidates(32)) == sorted(convnet_space.convnet_names(*SPACE, image_size=32))


def test_networks_too_deep_for_the_images_are_left_out() -> None:
    names = convnet_space.convnet_names((1, 3, 4), (16,), ("relu",), ("batch",), ("nopool", "maxpool"), image_size=8)
    assert names == [
        "convnet1-w16-batch-nopool",
        "convnet1-w16-batch-maxpool",
        "convnet3-w16-batch-nopool",
        "convnet3-w16-batch-maxpool",
        "convnet4-w16-batch-nopool",
    ]


def test_ranks_and_correlations_are_scipys_with_ties_and_without() -> None:
    generator = torch.Generator().manual_seed(0)
    for levels in (3, 1000):
        first, second = torch.randint(levels, (2, 40), generator=generator).double().tolist()
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert average_ranks([5.0, 1.0, 5.0, -math.inf]) == [3.5, 2.0, 3.5, 1.0]


def test_equal_rankings_correlate_by_1_reversed_by_minus_1() -> None:
    values = [3.0, -math.inf, 8.0, 1.0]
    assert spearman(values, [value**3 for value in values]) == 1.0
    assert spearman(values, [-value for value in values]) == -1.0
    assert spearman(values, [1.0] * 4) is None
    assert spearman([1.0], [1.0]) is None


@pytest.mark.parametrize(("classes", "steps", "sizes"), [(10, 5, [2] * 5), (10, 3, [4, 3, 3]), (3, 3, [1, 1, 1])])
def test_steps_bring_every_class_once_as_evenly_as_possible(classes: int, steps: int, sizes: list[int]) -> None:
    stream = Stream.root(0, "order")
    arriving = incremental.class_steps(classes, steps, stream)
    assert [len(step) for step in arriving] == sizes
    assert sorted(torch.cat(arriving).tolist()) == list(range(classes))
    again = incremental.class_steps(classes, steps, stream.child(1))
    assert any(not torch.equal(one, other) for one, other in zip(arriving, again, strict=True))


def test_a_memory_of_all_classes_is_the_set_of_some_its_rows() -> None:
    labels = torch.tensor([2, 0, 1, 0])
    images = torch.arange(4.0).reshape(4, 1, 1, 1)
    whole = SyntheticSet(images, labels, torch.tensor(0.1))
    every = incremental.images_of_seen_classes(whole, torch.tensor([0, 1, 2]))
    assert torch.equal(every.images_NCHW, images)
    assert torch.equal(every.labels, labels)
    some = incremental.images_of_seen_classes(whole, torch.tensor([0, 2]))
    assert some.images_NCHW.flatten().tolist() == [0.0, 1.0, 3.0]
    tested = incremental.real_images_of_seen_classes(Images(images, labels, 3), torch.tensor([0, 2]))
    assert (tested.labels_N.tolist(), tested.classes) == ([2, 0, 0], 3)


def test_soft_labels_share_the_probability_of_unseen_classes() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0], [0.0, 0.0, 9.0]])
    soft = SyntheticSet(torch.zeros(3, 1, 1, 1), logits, torch.tensor(0.1))
    memory = incremental.images_of_seen_classes(soft, torch.tensor([0, 1]))
    expected = logits[:2].softmax(1)[:, :2]
    torch.testing.assert_close(memory.targets[:, :2], expected / expected.sum(1, keepdim=True))
    assert (memory.targets[:, 2] == 0).all()


def test_between_two_sizes_a_value_lies_on_the_logarithmic_line() -> None:
    points = [(100, 40.0), (10_000, 60.0)]
    assert interpolated_at(points, 1_000) == pytest.approx(50.0)
    assert (interpolated_at(points, 100), interpolated_at(points, 10_000)) == (40.0, 60.0)
    assert (interpolated_at(points, 99), interpolated_at(points, 10_001), interpolated_at([(7, 1.0)], 7)) == (
        None,
        None,
        1.0,
    )
