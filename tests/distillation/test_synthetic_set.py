"""Laws of the set's file: what is written is what is read, and what others may add is admitted."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import CorruptArtifactError

IMAGES = torch.arange(5 * 4.0).reshape(5, 1, 2, 2)
RATE = torch.tensor(0.1, dtype=torch.float64)
LOGITS = torch.eye(3)[[0, 0, 0, 2, 1]]
CLASSES = torch.tensor([0, 0, 0, 1, 2])


def test_uneven_classes_in_any_order_are_read_as_they_are(tmp_path: Path) -> None:
    labels = torch.tensor([2, 0, 2, 2, 1])
    synthetic_set.save(tmp_path / "set", SyntheticSet(IMAGES, labels, RATE))
    found = synthetic_set.load(tmp_path / "set")
    assert torch.equal(found.labels, labels)
    assert torch.equal(found.class_labels, labels)
    assert load_file(tmp_path / "set").keys() == {"images", "labels", "step_size"}


def test_a_soft_set_may_say_which_class_an_image_was_made_for(tmp_path: Path) -> None:
    tensors = {"images": IMAGES, "logits": LOGITS, "labels": CLASSES, "step_size": RATE}
    save_file(tensors, tmp_path / "set")
    found = synthetic_set.load(tmp_path / "set").to(torch.device("cpu"))
    assert found.is_soft
    assert torch.equal(found.targets, LOGITS.softmax(dim=1))
    assert torch.equal(found.class_labels, CLASSES)
    stacked = {name: torch.stack([tensor, tensor]) for name, tensor in tensors.items()}
    save_file({**stacked, "iterations": torch.tensor([1, 9])}, tmp_path / "sets")
    (first, one), (last, _) = synthetic_set.load_snapshots(tmp_path / "sets")
    assert (first, last) == (1, 9)
    assert torch.equal(one.class_labels, CLASSES)
    assert torch.equal(one.labels, LOGITS)


def test_a_soft_set_that_does_not_say_has_classes_of_one_size_if_it_can(tmp_path: Path) -> None:
    even = SyntheticSet(IMAGES[:3], LOGITS[:3], RATE)
    assert even.class_labels.tolist() == [0, 1, 2]
    synthetic_set.save(tmp_path / "set", SyntheticSet(IMAGES, LOGITS, RATE))
    assert load_file(tmp_path / "set").keys() == {"images", "logits", "step_size"}
    assert synthetic_set.load(tmp_path / "set").class_labels.tolist() == [0, 0, 0, 2, 1]


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"labels": CLASSES, "step_size": RATE}, "it has no images"),
        ({"images": IMAGES, "step_size": RATE}, "it has no labels"),
        ({"images": IMAGES, "labels": CLASSES}, "it has no step_size"),
        ({"images": IMAGES, "labels": CLASSES[:4], "step_size": RATE}, "its images and labels do not belong together"),
        ({"images": IMAGES, "logits": LOGITS, "labels": CLASSES[:4], "step_size": RATE}, "do not belong together"),
    ],
)
def test_what_is_no_set_is_refused_in_one_line(tensors: dict[str, torch.Tensor], why: str, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "set")
    with pytest.raises(CorruptArtifactError, match=why):
        synthetic_set.load(tmp_path / "set")
