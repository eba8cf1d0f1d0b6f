"""Every form in which a person has images comes to the same bytes; what is not possible is refused in one line."""

from collections.abc import Callable

import hand
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from dcpipe.api.labelled_images import LabelledImages, labelled_images
from dcpipe.errors import UserError

IMAGES, LABELS = hand.train()


class Pictures(torch.utils.data.Dataset[tuple[Image.Image, int]]):
    """As torchvision's datasets give them."""

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(IMAGES[index, 0].numpy()), int(LABELS[index])


FORMS: dict[str, Callable[[], LabelledImages]] = {
    "floats in [0, 1]": lambda: labelled_images(IMAGES / 255, LABELS),
    "float64": lambda: labelled_images(IMAGES.double() / 255, LABELS),
    "an array": lambda: labelled_images(IMAGES.numpy(), LABELS.numpy()),
    "without channels": lambda: labelled_images(IMAGES[:, 0], LABELS),
    "channels last": lambda: labelled_images(IMAGES.permute(0, 2, 3, 1).numpy(), LABELS),
    "labels in a column": lambda: labelled_images(IMAGES, LABELS[:, None]),
    "labels in a list": lambda: labelled_images(IMAGES, LABELS.tolist()),
    "other whole numbers": lambda: labelled_images(IMAGES, LABELS.to(torch.int32)),
    "a Dataset of tensors": lambda: labelled_images(TensorDataset(IMAGES, LABELS), None),
    "a Dataset of pictures": lambda: labelled_images(Pictures(), None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_images_is_the_same(form: str) -> None:
    wanted, found = labelled_images(IMAGES, LABELS), FORMS[form]()
    assert found.digest == wanted.digest
    assert found.pixels_NCHW.dtype == np.uint8
    assert (found.pixels_NCHW == IMAGES.numpy()).all()
    assert found.counts == torch.bincount(LABELS).tolist()


def test_the_digest_tells_images_labels_and_shapes_apart() -> None:
    other = LABELS.clone()
    other[0] = (other[0] + 1) % 10
    digests = {
        labelled_images(IMAGES, LABELS).digest,
        labelled_images(IMAGES, other).digest,
        labelled_images(255 - IMAGES, LABELS).digest,
        labelled_images(IMAGES.view(75, 1, 16, 16), LABELS[:75]).digest,
    }
    assert len(digests) == 4


def spoilt(images: Tensor, place: tuple[int, ...], value: float) -> Tensor:
    changed = images.float() / 255
    changed[place] = value
    return changed


REFUSED: dict[str, tuple[object, object]] = {
    r"images: have the shape 300 x 8; pass N x C x H x W": (IMAGES[:, 0, 0], LABELS),
    r"images: have the shape 300 x 2 x 8 x 8": (IMAGES.expand(-1, 2, -1, -1), LABELS),
    r"images: are 8 x 4 pixels; crop or pad them to squares": (IMAGES[..., :4], LABELS),
    r"images: are 2 x 2 pixels; pass images of 4 x 4": (IMAGES[..., :2, :2], LABELS),
    r"images: have the shape 0 x 1 x 8 x 8, which holds no image": (IMAGES[:0], LABELS[:0]),
    r"images: are int64; pass uint8": (IMAGES.long(), LABELS),
    r"images: are bool; pass uint8": (IMAGES > 0, LABELS),
    r"images: have values from 0 to 255; pass floating point numbers in \[0, 1\]": (IMAGES.float(), LABELS),
    r"images: have values from -0\.5 to 1": (spoilt(IMAGES, (3, 0, 0, 0), -0.5), LABELS),
    r"images: have 1 values that are NaN or infinite, the first in image 7": (
        spoilt(IMAGES, (7, 0, 1, 1), float("nan")),
        LABELS,
    ),
    r"images: are list; pass a tensor or an array": ([[1]], LABELS),
    r"images: have no labels": (IMAGES, None),
    r"images: a torch Dataset has its own labels": (TensorDataset(IMAGES, LABELS), LABELS),
    r"labels: are 299; there are 300 images; pass one label per image": (IMAGES, LABELS[:-1]),
    r"labels: are float32; pass whole numbers": (IMAGES, LABELS.float()),
    r"labels: have the shape 300 x 10; images: 300; pass one class per image": (IMAGES, torch.eye(10)[LABELS]),
    r"labels: go from -1 to 8; number the classes from 0": (IMAGES, LABELS - 1),
    r"labels: go from 1 to 10, and no image has the label 0": (IMAGES, LABELS + 1),
    r"labels: go from 0 to 18, and no image has the label 1": (IMAGES, 2 * LABELS),
    r"labels: are all 3; distillation needs two classes or more": (IMAGES, torch.full_like(LABELS, 3)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_possible_is_refused_in_one_line(said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        labelled_images(*REFUSED[said])  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_images_of_several_sizes_in_a_dataset_are_refused() -> None:
    class Mixed(Pictures):
        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            picture, label = super().__getitem__(index)
            return picture.resize((8 + index % 2, 8 + index % 2)), label

    with pytest.raises(UserError, match=r"images: differ in size \(8 x 8 and 9 x 9\); add a transform"):
        labelled_images(Mixed(), None)
