"""Files as they come: all that cannot be used is in one refusal, and what is dropped of the others is counted."""

import logging
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import publishers
import pytest
from PIL import Image
from workshop import Workshop

from dcpipe.errors import UserError

CLASSES = ["a", "b", "c"]


@pytest.fixture
def birds(shop: Workshop) -> Path:
    """A good folder, and params that fit it."""
    publishers.tree(shop.data / "birds", CLASSES)
    shop.folder("birds", test_per_class=1)
    return shop.data / "birds"


def _refused(shop: Workshop) -> str:
    with pytest.raises(UserError) as caught:
        shop.prepare("birds")
    return str(caught.value)


def _deep_colour(path: Path) -> None:
    """A PNG of three channels of 16 bits, which Pillow would read as 8 without a word."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(8 * (1 + 8 * 6))))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def test_one_refusal_counts_every_kind_and_names_the_first(
    shop: Workshop, birds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a/0", "a/1", "b/0", "c/0"):
        whole = (birds / f"{name}.png").read_bytes()
        (birds / f"{name}.png").write_bytes(whole[: len(whole) // 2])
    (birds / "a" / "gone.png").symlink_to("nowhere.png")
    (birds / "b" / "self.png").symlink_to("self.png")
    (birds / "b" / "notes.txt").write_text("no image")
    os.mkfifo(birds / "c" / "pipe.png")
    _deep_colour(birds / "c" / "deep.png")
    with caplog.at_level(logging.WARNING, logger="dcpipe"):
        line = _refused(shop)
    assert line.startswith(f"{birds}: 9 files or folders cannot be used: ")
    for told in (
        "is a broken link (2: a/gone.png, b/self.png)",
        "does not have the name of an image file (1: b/notes.txt)",
        "is not a regular file (1: c/pipe.png)",
        "cannot be read as an image (4: a/0.png, a/1.png, b/0.png, ...)",
        "has more than 8 bits a channel (1: c/deep.png)",
    ):
        assert told in line
    assert f"{birds}/c/0.png: cannot be read as an image" in caplog.text


@pytest.mark.parametrize("link", ["a/loop", "a/sub/loop"])
def test_a_link_that_leads_in_a_circle_is_one_short_line(shop: Workshop, birds: Path, link: str) -> None:
    (birds / link).parent.mkdir(exist_ok=True)
    (birds / link).symlink_to(birds)
    assert _refused(shop).startswith(f"{birds / link}: is a link to a folder that contains it; ")


def test_links_that_lead_elsewhere_are_followed(shop: Workshop, birds: Path) -> None:
    shop.prepare("birds")
    before = shop.pixels("birds", "train")[0]
    (birds / "b").rename(shop.data / "elsewhere")
    (birds / "b").symlink_to(shop.data / "elsewhere")
    (birds / "c").rename(birds / "a" / ".c")
    (birds / "c").symlink_to(birds / "a" / ".c")
    shop.prepare("birds")
    np.testing.assert_array_equal(shop.pixels("birds", "train")[0], before)


def test_a_folder_too_many_is_named_with_what_it_lacks(shop: Workshop, birds: Path) -> None:
    (birds / "labels").mkdir()
    (birds / "labels" / "boxes.csv").write_text("a,b\n")
    line = _refused(shop)
    assert line.startswith(f"{birds}: has 4 class folders: a, b, c, labels, without an image in labels; params state 3")


def test_what_is_dropped_of_images_is_counted_and_said(
    shop: Workshop, birds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    clear.save(birds / "a" / "clear.png")
    Image.new("RGBA", (8, 8), (10, 20, 30, 255)).save(birds / "a" / "opaque.png")  # nothing is lost
    Image.new("RGB", (8, 8)).save(birds / "b" / "turned.jpg", exif=turned)
    Image.new("RGB", (8, 8)).save(birds / "b" / "film.png", save_all=True, append_images=[Image.new("RGB", (8, 8), 9)])
    Image.new("RGB", (8, 8)).save(birds / "c" / "pages.tif", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    with caplog.at_level(logging.INFO, logger="dcpipe"):
        facts = shop.prepare("birds")
    assert (facts["transparency_dropped"], facts["later_frames_dropped"], facts["rotation_ignored"]) == (1, 2, 1)
    assert "dropped: the transparency of 1, every frame after the first of 2, the EXIF rotation of 1 images" in (
        caplog.text
    )


def test_a_large_image_has_a_line_of_ours_and_no_warning(
    shop: Workshop, birds: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8 * 8)  # Pillow warns above it, and refuses above its double
    publishers.save(birds / "a" / "large.png", publishers.digit(0, 0, 9, 3))
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger="dcpipe"):
        warnings.simplefilter("error")
        shop.prepare("birds")
    assert f"{birds}/a/large.png: has 9x9 pixels; reading it takes up to" in caplog.text
    publishers.save(birds / "b" / "huge.png", publishers.digit(0, 0, 16, 3))
    assert _refused(shop).startswith(f"{birds}/b/huge.png: has more than 178 million pixels; ")


def test_a_rotten_array_is_refused_by_name_whatever_is_raised(shop: Workshop) -> None:
    """Bytes of a compressed archive are flipped one by one: each is refused by name, or gives the same images."""
    pixels, labels = publishers.images(2, 3, 8, 1)
    path = shop.data / "birds.npz"
    np.savez_compressed(path, images=pixels[:, 0], labels=labels)
    whole = path.read_bytes()
    shop.folder("birds", test_per_class=1, channels=1)
    shop.prepare("birds")
    before, refusals = shop.pixels("birds", "train")[0], []
    for position in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[position] ^= 0x41
        path.write_bytes(damaged)
        try:
            shop.prepare("birds")
        except UserError as error:
            refusals.append(str(error))
        else:
            np.testing.assert_array_equal(shop.pixels("birds", "train")[0], before)
    assert len(refusals) > 10
    assert [line for line in refusals if str(path) not in line] == []
