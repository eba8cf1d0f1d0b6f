"""What is wrong with a source is one line that names the place and what to do, and nothing is left behind."""

import gzip
import hashlib
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import publishers
import pytest
from workshop import ANY, Workshop

from dcpipe.data.torchvision_sets import UNPACKED, TorchvisionSet, published_checksums
from dcpipe.data.wnids import WNIDS
from dcpipe.errors import UserError

CLASSES = ["a", "b", "c"]


def refused(shop: Workshop, dataset: str) -> str:
    """The line that preparing ends with; no artifact is left."""
    with pytest.raises(UserError) as caught:
        shop.prepare(dataset)
    folder = shop.root / "artifacts" / "data" / dataset
    assert not folder.exists() or not any(folder.iterdir())
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("base", "split", "said"),
    [
        ("mnist", {"test_per_class": 5}, "write null"),
        ("digits", {"test_per_class": None}, "no test part"),
        ("cifar100", {"validation_per_class": 500}, "takes 501 images of each class, but the rarest class has 500"),
        ("cifar100", {"validation_per_class": 100, "train_per_class": 401}, "takes 501"),
        ("imagenette", {"validation_per_class": 1300}, "1300"),
        ("digits", {"validation_per_class": 94}, "the rarest class has 174"),
    ],
)
def test_an_impossible_split_is_refused_while_planning(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, base: str, split: dict[str, int | None], said: str
) -> None:
    monkeypatch.delenv("DCPIPE_DATA")  # planning may not look for data
    shop.dataset("own", base=base, split=split)
    with pytest.raises(UserError, match=said) as caught:
        shop.job("data", dataset="own")
    assert "params/datasets/own.yaml: split." in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"standardise": {"kind": "constants", "mean": [0.5], "std": [0.5]}}, "has 1 value; images have 3 channels"),
        ({"network": "convnet6"}, "halves its images 6 times"),
        ({"source": {"kind": "imagenet", "classes": [3, 5, 3], "image_size": 64, "digest": None}}, "class 3 is named"),
        ({"source": {"kind": "imagenet", "classes": [1000, 2], "image_size": 64, "digest": None}}, "less than 1000"),
        ({"source": {"kind": "cifar10", "digest": "0" * 64}}, "sha256"),
    ],
)
def test_what_does_not_fit_the_source_is_refused_while_planning(
    shop: Workshop, changes: dict[str, object], said: str
) -> None:
    shop.dataset("own", base="cifar10", **changes)
    with pytest.raises(UserError, match=said):
        shop.job("data", dataset="own")


def test_more_ipc_than_a_small_validation_variant_leaves_is_refused(shop: Workshop) -> None:
    shop.dataset("own", base="cifar100", split={"validation_per_class": 450})
    with pytest.raises(UserError, match="at most 50"):
        shop.job("distill", dataset="own", method="random", ipc=51, set=0)


@pytest.mark.parametrize("kind", ["mnist", "svhn", "cifar10"])
def test_what_cannot_be_fetched_names_the_files_and_their_place(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("no_proxy", raising=False)
    line = refused(shop, kind)
    assert line.startswith(f"{shop.data / kind}: cannot download {kind}")
    assert {"mnist": "train-images-idx3-ubyte.gz", "svhn": "test_32x32.mat", "cifar10": "cifar-10-python.tar.gz"}[
        kind
    ] in line
    assert "by hand from http" in line


def test_a_file_not_the_publishers_is_named_with_the_line_that_pins_it(shop: Workshop) -> None:
    publishers.svhn(shop.data / "svhn", publishers.parts(2, 10, 32, 3))
    shop.dataset("own", base="svhn", source={"kind": "svhn", "digest": ANY})
    line = refused(shop, "svhn")
    assert line.startswith(f"{shop.data}/svhn/train_32x32.mat: is not the publisher's file")
    assert f"source.digest to {shop.digest('own')}" in line


def test_a_digest_that_differs_is_refused_naming_both(shop: Workshop) -> None:
    publishers.cifar10(shop.data / "cifar10", publishers.parts(2, 10, 32, 3))
    shop.dataset("own", base="cifar10", source={"kind": "cifar10", "digest": ANY})
    line = refused(shop, "own")
    assert line.startswith("params/datasets/own.yaml: source.digest: ")
    assert ANY in line
    assert shop.digest("own") in line


def test_a_crafted_batch_runs_nothing_even_if_its_digest_is_pinned(shop: Workshop) -> None:
    publishers.cifar10(shop.data / "cifar10", publishers.parts(2, 10, 32, 3))
    sprung = shop.data / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return subprocess.call, (["touch", str(sprung)],)

    trapped = shop.data / "cifar10" / "cifar-10-batches-py" / "data_batch_1"
    trapped.write_bytes(pickle.dumps(Trap(), protocol=2))
    for digest in (None, ANY):
        shop.dataset("own", base="cifar10", source={"kind": "cifar10", "digest": digest})
        assert "digest" in refused(shop, "own")
    shop.pinned("own", {"kind": "cifar10"}, base="cifar10")
    line = refused(shop, "own")
    assert line.startswith(f"{trapped}: is damaged, or holds something other than arrays (names ")
    assert not sprung.exists()


def test_damaged_and_misshapen_idx_files_are_refused(shop: Workshop) -> None:
    publishers.mnist(shop.data / "mnist", publishers.parts(2, 10, 28, 1))
    shop.pinned("own", {"kind": "mnist"}, base="mnist")
    packed = shop.data / "mnist" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    assert f"{packed}: cannot be unpacked" in refused(shop, "own")
    content = gzip.decompress(whole)
    packed.write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 80, 14, 14) + content[16 : 16 + 80 * 14 * 14]))
    shop.pinned("own", {"kind": "mnist"}, base="mnist")
    assert "images are 1x14x14; correct the params, which state 1x28x28" in refused(shop, "own")


def test_unpacked_files_have_published_sums_of_their_own(shop: Workshop) -> None:
    publishers.mnist(shop.data / "mnist", publishers.parts(2, 10, 28, 1))
    packed = shop.data / "mnist" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    line = refused(shop, "mnist")
    sum_of_it = UNPACKED["mnist"]["train-images-idx3-ubyte"]
    assert line.startswith(f"{packed.with_suffix('')}: is not the publisher's file (its MD5 is not {sum_of_it})")


def test_unpacked_files_with_the_stated_sums_are_taken_and_others_not(shop: Workshop) -> None:
    place = shop.data / "mnist"
    publishers.mnist(place, publishers.parts(2, 10, 28, 1))
    for packed in (place / "MNIST" / "raw").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    files = list((place / "MNIST" / "raw").iterdir())
    sums = {file.name: hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() for file in files}
    TorchvisionSet("mnist", place, published_checksums("mnist"), sums).require_published_data("sha256:0")
    damaged = bytearray(files[0].read_bytes())
    damaged[-1] ^= 1
    files[0].write_bytes(damaged)
    with pytest.raises(UserError, match=f"{files[0].name}: is not the publisher's file"):
        TorchvisionSet("mnist", place, published_checksums("mnist"), sums).require_published_data("sha256:0")


def test_tiny_imagenet_is_compared_with_its_published_counts(shop: Workshop) -> None:
    publishers.tiny_imagenet(shop.data / "tiny-imagenet")
    line = refused(shop, "tiny-imagenet")
    assert "has 2 train images; the publisher states 500 (and 199 more classes)" in line
    assert "source.digest to sha256:" in line


def test_every_flaw_of_tiny_imagenet_is_counted(shop: Workshop) -> None:
    place = shop.data / "tiny-imagenet"
    wnids = publishers.tiny_imagenet(place)
    lines = (place / "val" / "val_annotations.txt").read_text().splitlines(keepends=True)
    (place / "val" / "val_annotations.txt").write_text("".join(lines[2:]) + "no_such.JPEG\t" + wnids[0] + "\n")
    (place / "train" / wnids[4]).rename(place / "elsewhere")
    line = refused(shop, "tiny-imagenet")
    assert line.startswith(
        f"{place}: 4 files or folders cannot be used: this folder does not exist (1: train/{wnids[4]}), "
    )
    assert "has no line in val_annotations.txt (2: val/images/val_0.JPEG, val/images/val_1.JPEG)" in line
    assert "has a line in val_annotations.txt, but does not exist (1: val/images/no_such.JPEG), " in line
    (place / "wnids.txt").write_text("\n".join(wnids[:199]))
    assert f"{place}/wnids.txt: names 199 classes; Tiny ImageNet has 200" in refused(shop, "tiny-imagenet")


def test_imagenet_names_missing_classes_and_a_flat_validation_folder(shop: Workshop) -> None:
    publishers.imagenet(shop.data / "imagenet", [0, 217, 482])
    first = ", ".join(f"train/{wnid}" for wnid in sorted({WNIDS[491], WNIDS[497], WNIDS[566]}))
    line = refused(shop, "imagenette")
    assert line.startswith(
        f"{shop.data}/imagenet: 14 files or folders cannot be used: this folder does not exist (14: "
    )
    assert f"{first}, ...)" in line
    val = shop.data / "imagenet" / "val"
    for file in list(val.rglob("*.JPEG")):
        file.rename(val / file.name)
        (val / file.parent.name).rmdir()
    assert f"{val}: has no class folders" in refused(shop, "imagenette")


def _text_file(place: Path) -> None:
    (place / "b" / "readme.txt").write_text("hello")


def _empty_class(place: Path) -> None:
    for file in (place / "c").iterdir():
        file.unlink()


def _two_truncated(place: Path) -> None:
    for name in ("a/1.png", "c/2.png"):
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[: len(whole) // 2])


def _not_an_image(place: Path) -> None:
    (place / "a" / "0.jpg").write_bytes(b"this is text")


def _sixteen_bits(place: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(place / "a" / "0.png")


def _a_dot(place: Path) -> None:
    from PIL import Image

    Image.new("RGB", (30, 3)).save(place / "b" / "1.png")


def _one_class_less(place: Path) -> None:
    (place / "c").rename(place.parent / "elsewhere")


def _its_own_test_part(place: Path) -> None:
    for name in CLASSES:
        (place / "train" / name).parent.mkdir(exist_ok=True)
        (place / name).rename(place / "train" / name)
    publishers.tree(place / "test", CLASSES)


def _nothing(place: Path) -> None:
    place.rename(place.parent / "elsewhere")
    place.mkdir()


@pytest.mark.parametrize(
    ("spoil", "where", "said"),
    [
        (_text_file, "birds/b/readme.txt", "does not have the name of an image file"),
        (_empty_class, "birds/c", "contains no image"),
        (_two_truncated, "birds", "cannot be read as an image (2: a/1.png, c/2.png); fix or remove"),
        (_not_an_image, "birds/a/0.jpg", "cannot be read as an image (cannot identify"),
        (_sixteen_bits, "birds/a/0.png", "more than 8 bits"),
        (_a_dot, "birds/b/1.png", "has a side below half of image_size 8 (30x3 pixels); fix or remove"),
        (_one_class_less, "birds", "has 2 class folders: a, b; params state 3"),
        (_its_own_test_part, "birds", "set split.test_per_class to null"),
        (_nothing, "birds", "has 0 class folders"),
    ],
)
def test_a_spoilt_folder_is_named(shop: Workshop, spoil: Callable[[Path], None], where: str, said: str) -> None:
    publishers.tree(shop.data / "birds", CLASSES)
    shop.folder("birds", test_per_class=1)
    spoil(shop.data / "birds")
    line = refused(shop, "birds")
    assert line.startswith(f"{shop.data / where}: ")
    assert said in line


def test_a_folder_that_is_not_there_and_one_without_its_test_part(shop: Workshop) -> None:
    shop.folder("birds")
    assert f"{shop.data}/birds: this folder does not exist; put one folder per class there, or birds.npz" in refused(
        shop, "birds"
    )
    publishers.tree(shop.data / "birds" / "train", CLASSES)
    assert f"{shop.data}/birds/test: this folder does not exist" in refused(shop, "birds")
    publishers.tree(shop.data / "birds" / "test", ["a", "b", "d"])
    assert f"{shop.data}/birds: c, d are in only one of train/ and test/" in refused(shop, "birds")


def test_a_split_too_large_for_a_class_is_refused_before_images_are_read(shop: Workshop) -> None:
    publishers.tree(shop.data / "birds", CLASSES)
    (shop.data / "birds" / "b" / "0.png").write_bytes(b"never read")
    shop.folder("birds", test_per_class=4)
    told = (
        "params/datasets/birds.yaml: split: the split needs 5 images per class; class a has 4; lower one of its counts"
    )
    assert refused(shop, "birds").startswith(told)


PIXELS, LABELS = publishers.images(2, 3, 8, 3)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": PIXELS / 255.0, "labels": LABELS}, "images is float64; images must be uint8"),
        ({"images": PIXELS[:, :2], "labels": LABELS}, "images has shape 6x2x8x8"),
        (
            {"images": PIXELS[:, :, :, :3], "labels": LABELS},
            "6x3x8x3: its channels may be the second number or the last",
        ),
        ({"images": PIXELS[:, 0, :2], "labels": LABELS}, "6x2x8: a side below half of image_size 8; lower"),
        ({"images": PIXELS, "labels": LABELS[:4]}, "there are 6 images"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels has shape 6 and type float64"),
        ({"images": PIXELS, "labels": LABELS + 1}, "some images have the label 3"),
        ({"images": PIXELS, "labels": LABELS // 2}, "no image has the label 2"),
        ({"images": np.array([{}] * 6, dtype=object), "labels": LABELS}, "the array images cannot be read"),
        ({"train_images": PIXELS, "train_labels": LABELS}, "has no array images (it has train_images, train_labels)"),
    ],
)
def test_unfit_arrays_are_named(shop: Workshop, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(shop.data / "arrays.npz", **arrays)
    shop.folder("arrays", test_per_class=1)
    assert said in refused(shop, "arrays")


def test_a_file_that_only_claims_to_hold_arrays_is_refused(shop: Workshop) -> None:
    (shop.data / "arrays.npz").write_bytes(b"no zip")
    shop.folder("arrays")
    assert f"{shop.data}/arrays.npz: is not an .npz file" in refused(shop, "arrays")
