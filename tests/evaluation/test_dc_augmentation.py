"""Laws of DC's own augmentation of tested networks, on real digits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import repository
from dcpipe.data import store
from dcpipe.evaluation import dc_augmentation as dc
from dcpipe.evaluation.augmentation_config import NoAugmentation, OneOf
from dcpipe.params.library import ParamsLibrary

NO_NOISE = torch.zeros(1, 8, 8)


@pytest.fixture(scope="module")
def digits(made: Path) -> Tensor:
    """Forty real digits, 8x8."""
    return store.load(made / "artifacts/data/tiny/test.zarr", "test").images_NCHW[:40]


def _draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_shifts_whole_pixels_and_fills_the_mean_colour(digits: Tensor) -> None:
    image, mean = digits[0], digits.mean(dim=(0, 2, 3))[:, None, None]
    for top in range(8):
        moved = dc.crop(image, mean, (top / 8, 0.5), NO_NOISE)  # 0.5 is no shift to the side
        by = top - dc.CROP_PIXELS
        inside = moved[:, max(0, -by) : 8 - max(0, by)]
        assert torch.equal(inside, image[:, max(0, by) : 8 + min(0, by)])
        outside = torch.cat([moved[:, : max(0, -by)], moved[:, 8 - max(0, by) :]], dim=1)
        assert torch.equal(outside, mean.expand_as(outside))


def test_scaling_keeps_the_middle_and_leaves_zeros_around(digits: Tensor) -> None:
    image = digits[0] + 3.0  # no pixel is 0
    small = dc.scale(image, NO_NOISE, (0.0, 0.0), NO_NOISE)  # a factor 0.8: 6 of 8 pixels
    assert torch.equal(small[:, 1:7, 1:7], torch.nn.functional.interpolate(image[None], (6, 6))[0])
    assert not torch.cat([small[:, 0], small[:, 7], small[:, :, 0], small[:, :, 7]]).any()
    assert torch.equal(dc.scale(image, NO_NOISE, (0.5, 0.5), NO_NOISE), image)


def test_a_rotation_turns_about_the_middle_and_fills_the_mean(digits: Tensor) -> None:
    mean = torch.full((1, 1, 1), -0.4)
    assert torch.allclose(dc.rotate(digits[0], mean, (0.5, 0.0), NO_NOISE), digits[0], atol=1e-5)
    spot = torch.zeros(1, 33, 33)
    spot[0, 16, 26] = 1.0  # ten pixels right of the middle
    turned = dc.rotate(spot, mean, (0.0, 0.0), NO_NOISE)  # by 45 degrees, the first of the whole ones
    row, column = divmod(int(turned.argmax()), 33)
    assert (abs(row - 16), column - 16) == (7, 7)
    assert turned[0, 0, 0] == turned[0, 32, 32] == pytest.approx(-0.4)


def test_each_image_has_an_operation_of_its_own(digits: Tensor) -> None:
    noisy = dc.one_of(digits, ("noise",), _draws())
    assert 0.5 * dc.NOISE_STD < (noisy - digits).std() < 2 * dc.NOISE_STD
    changed = dc.one_of(digits, ("crop", "noise"), _draws())
    is_noise = ((changed - digits).abs().amax(dim=(1, 2, 3)) < 10 * dc.NOISE_STD).tolist()
    assert 8 < sum(is_noise) < 32
    assert torch.equal(changed, dc.one_of(digits, ("crop", "noise"), _draws()))
    assert not torch.equal(changed, dc.one_of(digits, ("crop", "noise"), _draws(1)))


def test_the_same_amount_is_drawn_whatever_comes_out(digits: Tensor) -> None:
    ends = []
    for operations in (("crop", "scale"), ("noise", "rotate")):
        draws = _draws()
        dc.one_of(digits, operations, draws)
        ends.append(torch.rand(3, generator=draws).tolist())
    assert ends[0] == ends[1]


def test_mnist_and_batch_norm_are_tested_with_it() -> None:
    library = ParamsLibrary(repository.ROOT)
    found = {name: library.evaluation(name, "mnist", 1)[1] for name in ("dc", "gm", "dc-batch-norm")}
    assert {name: one.epochs for name, one in found.items()} == dict.fromkeys(found, 1000)
    assert found["dc-batch-norm"].augmentation == OneOf(kind="one-of", operations=["crop", "noise"])
    assert library.evaluation("dc", "cifar10", 1)[1].augmentation == NoAugmentation(kind="none")
