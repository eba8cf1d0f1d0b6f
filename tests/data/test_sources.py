"""Every source goes from its publisher's own bytes to scores, and its pixels and labels arrive as they are."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import publishers
import pytest
from PIL import Image
from workshop import ANY, REPOSITORY, Workshop

from dcpipe.data.wnids import WNIDS
from dcpipe.params import params_files
from dcpipe.workflow.graph import Graph

Publish = Callable[[Path, dict[str, publishers.Arrays]], None]
TORCHVISION: dict[str, tuple[Publish, tuple[int, int, int, int]]] = {
    "mnist": (publishers.mnist, (3, 10, 28, 1)),
    "fashion-mnist": (publishers.fashion_mnist, (3, 10, 28, 1)),
    "svhn": (publishers.svhn, (3, 10, 32, 3)),
    "cifar10": (publishers.cifar10, (3, 10, 32, 3)),
    "cifar100": (publishers.cifar100, (2, 100, 32, 3)),
}


@pytest.mark.parametrize("kind", TORCHVISION)
def test_torchvision_sets_arrive_pixel_for_pixel_and_end_in_scores(shop: Workshop, kind: str) -> None:
    publish, shape = TORCHVISION[kind]
    sets = publishers.parts(*shape)
    publish(shop.data / kind, sets)
    shop.pinned("own", {"kind": kind}, base=kind)
    scores = shop.scores("own")
    assert scores["n"] == 1
    for part, (pixels, labels) in sets.items():
        stored, stored_labels = shop.pixels("own", part)
        np.testing.assert_array_equal(stored, pixels)
        np.testing.assert_array_equal(stored_labels, labels)


def test_every_shipped_dataset_plans_without_looking_for_data(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.delenv("DCPIPE_DATA")
    cell = {"method": "random", "ipc": 1, "set": 0, "evaluation": "quick", "network": "native"}
    for name in params_files.available_names(REPOSITORY, "datasets"):
        with subtests.test(dataset=name):
            job = shop.job("evaluate", dataset=name, **cell)
            assert job.inputs["test"] == (f"artifacts/data/{name}/test.zarr",)


def test_cifar100_mtt_differs_from_cifar100_in_its_constants_alone(shop: Workshop) -> None:
    library = shop.job("data", dataset="cifar100").sections, shop.job("data", dataset="cifar100-mtt").sections
    own, mtt = library[0]["dataset"], library[1]["dataset"]
    assert (own.source, own.split, own.network) == (mtt.source, mtt.split, mtt.network)
    assert mtt.standardise == shop.job("data", dataset="cifar10").sections["dataset"].standardise != own.standardise


def test_tiny_imagenet_ends_in_scores_with_labels_by_sorted_wnid(shop: Workshop) -> None:
    wnids = publishers.tiny_imagenet(shop.data / "tiny-imagenet")
    shop.pinned("own", {"kind": "tiny-imagenet"}, base="tiny-imagenet")
    assert shop.scores("own")["n"] == 1
    pixels, labels = shop.pixels("own", "test")
    np.testing.assert_array_equal(labels, np.arange(200))
    seventh = shop.data / "tiny-imagenet" / "val" / "images" / "val_192.JPEG"
    np.testing.assert_array_equal(pixels[7], np.asarray(Image.open(seventh)).transpose(2, 0, 1))
    pixels, labels = shop.pixels("own", "train")
    assert labels.tolist() == sorted([*range(200)] * 2)
    last = shop.data / "tiny-imagenet" / "train" / wnids[-1] / "images" / f"{wnids[-1]}_1.JPEG"
    np.testing.assert_array_equal(pixels[-1], np.asarray(Image.open(last)).transpose(2, 0, 1))


def test_a_rearranged_validation_folder_gives_the_same_bytes(shop: Workshop) -> None:
    publishers.tiny_imagenet(shop.data / "tiny-imagenet")
    publishers.tiny_imagenet(shop.root / "other", arranged=True)
    shop.pinned("own", {"kind": "tiny-imagenet"}, base="tiny-imagenet")
    shop.prepare("own")
    before = shop.payload("own")
    (shop.root / "local.yaml").write_text("roots:\n  tiny-imagenet: other\n")
    shop.prepare("own")
    assert shop.payload("own") == before


def test_an_imagenet_subset_is_labelled_by_its_list_and_squeezed(shop: Workshop) -> None:
    classes = [574, 0, 701]
    publishers.imagenet(shop.data / "imagenet", [0, 574, 701])
    shop.pinned(
        "own", {"kind": "imagenet", "classes": classes, "image_size": 16}, base="imagenette", network="convnet2-w4"
    )
    assert shop.scores("own")["n"] == 1
    pixels, labels = shop.pixels("own", "train")
    np.testing.assert_array_equal(labels, np.repeat(np.arange(3), 3))
    file = shop.data / "imagenet" / "train" / WNIDS[574] / f"{WNIDS[574]}_1.JPEG"
    squeezed = Image.open(file).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels[1], np.asarray(squeezed).transpose(2, 0, 1))
    facts = shop.prepare("own")
    assert (facts["converted"], facts["resized"]) == (3, 12)


def test_wnids_are_sorted_and_agree_with_torchvisions_imagenette() -> None:
    from torchvision.datasets import Imagenette

    assert list(WNIDS) == sorted(set(WNIDS))
    assert len(WNIDS) == 1000
    places = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
    assert [WNIDS[place] for place in places] == sorted(Imagenette._WNID_TO_CLASS)


def test_a_folder_with_a_test_part_ends_in_scores(shop: Workshop) -> None:
    for part, first in (("train", 0), ("test", 4)):
        publishers.tree(shop.data / "birds" / part, ["wren", "dunnock", "robin"], first=first)
    shop.folder("birds")
    assert shop.scores("birds")["n"] == 1
    pixels, labels = shop.pixels("birds", "test")
    np.testing.assert_array_equal(labels, np.repeat(np.arange(3), 4))
    np.testing.assert_array_equal(pixels[0], publishers.digit(1, 4, 8, 3))  # dunnock sorts first
    assert shop.prepare("birds")["classes"] == ["dunnock", "robin", "wren"]


def test_one_tree_is_cut_into_disjoint_parts_that_cover_it(shop: Workshop) -> None:
    publishers.tree(shop.data / "birds", ["a", "b", "c"], per_class=6)
    shop.folder("birds", test_per_class=2)
    shop.prepare("birds")
    train, test = (shop.pixels("birds", part) for part in ("train", "test"))
    assert np.bincount(test[1]).tolist() == [2, 2, 2]
    together = sorted(image.tobytes() for image in np.concatenate([train[0], test[0]]))
    assert together == sorted(publishers.digit(c, k, 8, 3).tobytes() for c in range(3) for k in range(6))


def test_odd_sizes_and_grey_images_are_made_to_fit_and_counted(shop: Workshop) -> None:
    publishers.tree(shop.data / "birds", ["a", "b", "c"])
    publishers.save(shop.data / "birds" / "a" / "0.png", publishers.digit(0, 0, 8, 1))
    publishers.save(shop.data / "birds" / "b" / "sub" / "9.png", publishers.digit(0, 0, 24, 3)[:, :13])
    shop.folder("birds", test_per_class=1)
    facts = shop.prepare("birds")
    assert (facts["converted"], facts["resized"]) == (1, 1)
    assert sum(facts["images"].values()) == 13


@pytest.mark.parametrize("layout", ["channels last", "channels first", "column of labels"])
def test_arrays_of_any_layout_give_the_same_bytes_and_end_in_scores(shop: Workshop, layout: str) -> None:
    sets = publishers.parts(3, 3, 9, 3)
    arrays: dict[str, np.ndarray] = {}
    for part, (pixels, labels) in sets.items():
        arrays[f"{part}_images"] = pixels if layout == "channels first" else pixels.transpose(0, 2, 3, 1)
        arrays[f"{part}_labels"] = labels[:, None] if layout == "column of labels" else labels
    np.savez(shop.data / "arrays.npz", **arrays)
    shop.folder("arrays", image_size=9)
    assert shop.scores("arrays")["n"] == 1
    np.testing.assert_array_equal(shop.pixels("arrays", "train")[0], sets["train"][0])


def test_grey_arrays_without_a_test_part_are_cut(shop: Workshop) -> None:
    pixels, labels = publishers.images(4, 3, 8, 1)
    np.savez_compressed(shop.data / "arrays.npz", images=pixels[:, 0], labels=labels)
    shop.folder("arrays", test_per_class=1, channels=1)
    facts = shop.prepare("arrays")
    assert facts["images"] == {"test": 3, "val": 0, "train": 9}
    assert shop.pixels("arrays", "train")[0].shape == (9, 1, 8, 8)


def test_unpacked_and_packed_mnist_have_one_digest(shop: Workshop) -> None:
    publishers.mnist(shop.data / "mnist", publishers.parts(2, 10, 28, 1))
    shop.dataset("own", base="mnist", source={"kind": "mnist", "digest": ANY})
    packed = shop.digest("own")
    for file in (shop.data / "mnist" / "MNIST" / "raw").glob("*.gz"):
        from torchvision.datasets.utils import extract_archive

        extract_archive(file, remove_finished=True)
    assert shop.digest("own") == packed


@pytest.mark.parametrize("kind", TORCHVISION)
def test_a_data_root_as_torchvision_keeps_it_has_the_same_digest(shop: Workshop, kind: str) -> None:
    """Its files side by side in the data root, as `root=` of torchvision's classes has them."""
    publish, shape = TORCHVISION[kind]
    publish(shop.data / kind, publishers.parts(*shape))
    shop.dataset("own", base=kind, source={"kind": kind, "digest": ANY})
    own = shop.digest("own")
    for child in (shop.data / kind).iterdir():
        child.rename(shop.data / child.name)
    (shop.data / kind).rmdir()
    assert shop.digest("own") == own
    location = shop.data / kind
    assert Graph(shop.root).library.dataset("own")[1].source.is_at(location)


@pytest.mark.parametrize("layout", ["raw", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_files_of_mnist_by_themselves_have_the_same_digest(shop: Workshop, layout: str, packed: bool) -> None:
    publishers.mnist(shop.data / "mnist", publishers.parts(2, 10, 28, 1))
    shop.dataset("own", base="mnist", source={"kind": "mnist", "digest": ANY})
    own = shop.digest("own")
    place = shop.data / "mnist" / layout
    place.mkdir(exist_ok=True)
    for file in list((shop.data / "mnist" / "MNIST" / "raw").iterdir()):
        content = file.read_bytes()
        (place / (file.name if packed else file.stem)).write_bytes(content if packed else gzip.decompress(content))
        file.unlink()
    assert shop.digest("own") == own


def test_a_validation_part_leaves_the_test_part_alone(shop: Workshop) -> None:
    publishers.mnist(shop.data / "mnist", publishers.parts(5, 10, 28, 1))
    shop.pinned("own", {"kind": "mnist"}, base="mnist")
    shop.dataset("own-val", base="own", split={"validation_per_class": 2, "train_per_class": 1})
    assert shop.prepare("own")["images"] == {"val": 0, "train": 50, "test": 10}
    assert shop.prepare("own-val")["images"] == {"val": 20, "train": 10, "test": 10}
    whole = {image.tobytes() for image in shop.pixels("own", "train")[0]}
    val, train = ({image.tobytes() for image in shop.pixels("own-val", part)[0]} for part in ("val", "train"))
    assert val | train <= whole
    assert not val & train
    np.testing.assert_array_equal(shop.pixels("own", "test")[0], shop.pixels("own-val", "test")[0])
