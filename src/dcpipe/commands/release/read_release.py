"""`dcpipe.load`: a released folder as a torch Dataset, with the transform of test images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dcpipe.commands.release import release_folder, release_parts
from dcpipe.commands.release.make_release import CARD, SET, TRANSFORM
from dcpipe.data.store import Transform
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError

Picture = Tensor | NDArray[np.uint8] | Image.Image


class ReleasedSet(Dataset[tuple[Tensor, Tensor]]):
    """A distilled set: items are an image (C x H x W, float32) and its label (0-d, int64), or logits (K).

    `synthetic` holds all of it, `card` what card.json says.
    """

    def __init__(self, synthetic: SyntheticSet, transform: Transform, card: dict[str, object]) -> None:
        self.synthetic, self.card = synthetic, card
        self.transform = transform

    def __len__(self) -> int:
        return len(self.synthetic.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.synthetic.images_NCHW[index], self.synthetic.labels[index]

    @property
    def step_size(self) -> float:
        """The learning rate that goes with the set."""
        return float(self.synthetic.step_size)

    def test_transform(self, picture: Picture) -> Tensor:
        """One or several real images as networks trained on this set expect them: float32.

        Takes a PIL image; a uint8 array (H x W, or one or several with the channels last or first, as
        `dcpipe test-images` writes them); or a uint8 tensor (C x H x W, or N x C x H x W).
        Raises: UserError for anything else, such as pixels that were scaled already, or another size.
        """
        expected = tuple(self.synthetic.images_NCHW.shape[1:])
        pixels = _pixels(picture, expected)
        shape = tuple(pixels.shape[-3:])
        if pixels.dtype != torch.uint8 or pixels.dim() not in {3, 4} or shape != expected:
            given = f"{pixels.dtype} of {_shape_text(tuple(pixels.shape))}"
            problem = f"images must be uint8 of {_shape_text(expected)}; these are {given}"
            raise UserError(
                problem, where="test_transform", remedy="resize them to that size, and leave their values 0 to 255"
            )
        images = self.transform.apply(pixels if pixels.dim() == 4 else pixels[None])
        return images if pixels.dim() == 4 else images[0]

    def pixels(self) -> Tensor:
        """The images in units of [0, 1], for display; not clipped (N x C x H x W)."""
        return self.transform.invert(self.synthetic.images_NCHW)


def load_release(folder: str | Path) -> ReleasedSet:
    """The set in a released folder, after comparing every file with its sum, and looking at every number.

    Raises: UserError if the folder is not a release; CorruptArtifactError naming the file that was changed, or holds
    what no release does.
    """
    place = Path(folder)
    files = release_folder.read_files(place, (CARD, SET, TRANSFORM))
    card = release_parts.read_card(files[CARD], place / CARD)
    synthetic = release_parts.read_set(files[SET], place / SET, card)
    channels, size = synthetic.images_NCHW.shape[1:3]
    transform = release_parts.read_transform(files[TRANSFORM], place / TRANSFORM, channels=channels, size=size)
    return ReleasedSet(synthetic, transform, dict(card.mapping()))


def _pixels(picture: Picture, expected: tuple[int, ...]) -> Tensor:
    """One or several images, channels first. An array that may be either has its channels last, as Pillow's have."""
    if isinstance(picture, Tensor):
        return picture
    array = torch.from_numpy(np.array(picture))
    if array.dim() == 2:
        return array[None]
    last = array.movedim(-1, -3)
    return array if tuple(array.shape[-3:]) == expected != tuple(last.shape[-3:]) else last


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
