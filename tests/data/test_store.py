"""A store is written shard by shard: the same content and moments as at once, with memory for one shard."""

import tracemalloc
from pathlib import Path

import numpy as np
import publishers
import pytest
import torch

from dcpipe.data import image_files, store
from dcpipe.data.image_files import ImageFiles, Problems
from dcpipe.data.store import Moments, Standardisation

SHAPE = (3, 16, 16)
SHARD = 2**20


def _write(path: Path, pixels: np.ndarray, shard_bytes: int) -> Moments:
    labels = np.arange(len(pixels), dtype=np.int64) % 10
    made = store.write(path, "train", labels, SHAPE, lambda a, b: pixels[a:b], shard_bytes=shard_bytes)
    store.write_attributes(path, classes=10, standardisation=made.standardisation())
    return made


def test_shards_hold_what_one_shard_holds(tmp_path: Path) -> None:
    pixels, _ = publishers.images(290, 10, 16, 3)
    few, many = _write(tmp_path / "few.zarr", pixels, 2**26), _write(tmp_path / "many.zarr", pixels, SHARD)
    shards = [path for path in (tmp_path / "many.zarr" / "train" / "images" / "c").rglob("*") if path.is_file()]
    assert len(shards) == 3
    for path in ("few.zarr", "many.zarr"):
        found = store.load_pixels(tmp_path / path, "train")
        np.testing.assert_array_equal(found.pixels_NCHW.numpy(), pixels)
        np.testing.assert_array_equal(found.labels_N.numpy(), np.arange(2900) % 10)
    assert few.standardisation() == many.standardisation() == store.standardisation(tmp_path / "few.zarr")


def test_moments_are_those_of_all_pixels_whatever_the_blocks() -> None:
    pixels, _ = publishers.images(5, 10, 16, 3)
    at_once, by_rows = Moments.zero(3), Moments.zero(3)
    at_once.add(pixels)
    for image in pixels:
        by_rows.add(image[None])
    assert at_once.standardisation() == by_rows.standardisation()
    np.testing.assert_allclose(at_once.standardisation().mean_C, (pixels / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(at_once.standardisation().std_C, (pixels / 255).std((0, 2, 3)), rtol=1e-9)


def test_a_part_is_asked_for_in_order_and_never_for_more_than_a_shard(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def read(first: int, stop: int) -> np.ndarray:
        asked.append((first, stop))
        return np.zeros((stop - first, *SHAPE), dtype=np.uint8)

    store.write(tmp_path / "a.zarr", "train", np.zeros(5000, dtype=np.int64), SHAPE, read, shard_bytes=SHARD)
    assert [first for first, _ in asked] == [0, *(stop for _, stop in asked[:-1])]
    assert asked[-1][1] == 5000
    assert max(stop - first for first, stop in asked) * 3 * 16 * 16 <= SHARD


def _peak(path: Path, count: int) -> int:
    """Bytes held at most while `count` JPEGs (all the same file) go into a store."""
    folder = path / "jpegs"
    publishers.save(folder / "0.JPEG", publishers.digit(3, 0, 64, 3))
    listing = image_files.listing_of_names([folder], ["only"], [["0.JPEG"] * count])
    part = ImageFiles({"all": listing}, 3, 64, "").part("all")
    rows = np.arange(count)
    tracemalloc.start()
    store.write(
        path / f"{count}.zarr",
        "train",
        part.labels_N,
        (3, 64, 64),
        lambda a, b: part.read(rows[a:b]),
        shard_bytes=SHARD,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    _peak(tmp_path, 100)  # what is imported and kept on first use
    assert _peak(tmp_path, 1600) < 1.1 * _peak(tmp_path, 400)


def test_standardising_in_blocks_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = publishers.images(30, 10, 8, 3)
    standardisation = Standardisation((0.1, 0.2, 0.3), (0.3, 0.4, 0.5))
    stored = store.Pixels(torch.from_numpy(pixels), torch.from_numpy(labels), 10, standardisation)
    monkeypatch.setattr(store, "BLOCK_ROWS", 7)
    whole = standardisation.apply(stored.pixels_NCHW)
    assert torch.equal(stored.standardised().images_NCHW, whole)
    assert torch.equal(stored.images(torch.tensor([5, 2])), whole[[5, 2]])


def test_listing_order_does_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in (10, 9, 1, 2)]
    found = []
    for place, order in (("x", names), ("y", names[::-1])):
        for name in order:
            publishers.save(tmp_path / place / name, publishers.digit(0, 0, 8, 1))
        found.append(image_files.images_below(tmp_path / place, Problems()))
    assert found[0] == found[1] == sorted(names)
