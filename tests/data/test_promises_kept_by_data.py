"""What params promise is checked on the data that arrived, not on params alone."""

import shutil

import numpy as np
import publishers
import pytest
from workshop import Workshop

from dcpipe.data.store import Moments
from dcpipe.errors import UserError


def _uneven(shop: Workshop) -> None:
    """A class of two training images beside two of five."""
    publishers.tree(shop.data / "birds", ["a", "b", "c"], per_class=6)
    for number in range(3):
        (shop.data / "birds" / "b" / f"{number}.png").unlink()
    shop.folder("birds", test_per_class=1)


def _set_of(ipc: int) -> dict[str, str | int]:
    return {"dataset": "birds", "method": "random", "ipc": ipc, "set": 0}


def test_more_ipc_than_the_rarest_class_is_refused_while_planning(shop: Workshop) -> None:
    _uneven(shop)
    shop.job("distill", **_set_of(3))  # nobody can know yet
    facts = shop.prepare("birds")
    assert facts["rarest_class"] == {"name": "b", "train_images": 2}
    with pytest.raises(UserError, match="3 images per class are asked for; class b has 2 training images; ask for at"):
        shop.job("distill", **_set_of(3))
    with pytest.raises(UserError, match="class b has 2 training images"):
        shop.job("evaluate", **_set_of(3), evaluation="quick", network="native")
    shop.run("distill", **_set_of(2))


def test_a_card_of_other_params_says_nothing_of_the_rarest_class(shop: Workshop) -> None:
    _uneven(shop)
    shop.prepare("birds")
    shop.dataset("other", base="birds", split={"test_per_class": 2})
    folder = shop.root / "artifacts" / "data"
    shutil.copytree(folder / "birds", folder / "other")
    shop.job("distill", **_set_of(3) | {"dataset": "other"})


def test_a_set_smaller_than_its_ipc_is_never_made(shop: Workshop) -> None:
    """Planned before anything was known: the stage looks again."""
    _uneven(shop)
    job = shop.job("distill", **_set_of(3))
    shop.prepare("birds")
    with pytest.raises(UserError, match="3 images per class are asked for; class 1 has 2 training images; ask for at"):
        shop.execute(job)
    assert not (shop.root / job.folder).exists()


def _arrays(shop: Workshop, **changes: object) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3), dtype=np.uint8)
    pixels[..., 2] = 7
    np.savez(shop.data / "birds.npz", images=pixels, labels=np.arange(40) % 2)
    shop.folder("birds", test_per_class=4, classes=2, image_size=16)
    if changes:
        shop.dataset("own", base="birds", **changes)


def test_a_channel_that_never_varies_is_refused_when_data_is_prepared(shop: Workshop) -> None:
    _arrays(shop)
    with pytest.raises(UserError) as caught:
        shop.prepare("birds")
    line = str(caught.value)
    assert line.startswith("params/datasets/birds.yaml: standardise: channel 3 of 3 has one value in every pixel")
    assert not (shop.root / "artifacts" / "data" / "birds").exists()


def test_published_constants_take_a_channel_that_never_varies(shop: Workshop) -> None:
    _arrays(shop, standardise={"kind": "constants", "mean": [0.5] * 3, "std": [0.2] * 3})
    assert shop.scores("own")["n"] == 1


def test_the_deviation_of_equal_pixels_is_zero_to_the_last_bit() -> None:
    for value in range(256):
        moments = Moments.zero(2)
        images = np.full((37, 2, 7, 3), value, dtype=np.uint8)
        moments.add(images)
        assert moments.standardisation().std_C == (0.0, 0.0)
        images[11, 1, 3, 2] ^= 1
        moments.add(images)
        assert moments.standardisation().std_C[0] == 0.0
        assert moments.standardisation().std_C[1] > 0.0
