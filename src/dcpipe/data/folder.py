"""Your own images: one folder per class (the layout of torchvision's ImageFolder), or arrays in one .npz file.

In the data root, for a source of the name `birds`:

    birds/train/<class>/*.jpg, birds/test/<class>/*.jpg     with a test part (split.test_per_class: null)
    birds/<class>/*.jpg                                     one tree; the split takes the test images from it
    birds.npz                                               train_images, train_labels, test_images, test_labels;
                                                            or images, labels

A class's label is its place among the sorted folder names; arrays bring labels from 0. Images in arrays are uint8,
N x H x W, N x H x W x C or N x C x H x W with C of 1 or 3.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcpipe.data import image_files, location
from dcpipe.data.bounded_files import npz_array, npz_names
from dcpipe.data.image_files import ConversionCounts, ImageFiles, Listing
from dcpipe.data.problems import Problems
from dcpipe.data.source import Part, PartName, Pixels, Rows, Source
from dcpipe.errors import UserError
from dcpipe.params.dataset_facts import DatasetFacts

NAMED = 12  # classes in a message

log = logging.getLogger("dcpipe")


def find_folder(name: str, facts: DatasetFacts, root: Path) -> Source:
    """The folder or the .npz file of that name.

    Raises: UserError naming the folder or file that is missing or unexpected.
    """
    place = location.data_path(root, name)
    packed = place if place.suffix == ".npz" else place.with_name(f"{place.name}.npz")
    if packed.is_file() and not place.is_dir():
        return NpzArrays(packed, facts)
    if not place.is_dir():
        remedy = f"put one folder per class there, or {packed.name} beside it"
        raise UserError("this folder does not exist", where=str(place), remedy=remedy)
    return _tree(place, facts)


class FolderTree(ImageFiles):
    """One folder per class; the card names the classes."""

    def card_facts(self) -> dict[str, object]:
        """The classes in the order of their labels, and how many images were converted, resized and so on."""
        return {"classes": list(next(iter(self._parts.values())).classes), **super().card_facts()}


def _tree(dataset_folder: Path, facts: DatasetFacts) -> FolderTree:
    folders: dict[PartName, Path] = (
        {"train": dataset_folder / "train", "test": dataset_folder / "test"}
        if facts.has_test_part
        else {"all": dataset_folder}
    )
    for folder in folders.values():
        if facts.has_test_part and not folder.is_dir():
            remedy = "add it, or set split.test_per_class to a number of images per class"
            raise UserError("this folder does not exist", where=str(folder), remedy=remedy)
    if facts.has_test_part and (dataset_folder / "val").is_dir():
        log.warning("%s is not used: split.validation_per_class cuts from train/", dataset_folder / "val")
    names = _classes(dataset_folder, list(folders.values()), facts)
    problems = Problems()
    parts: dict[PartName, Listing] = {
        part: image_files.listing([folder / name for name in names], names, problems)
        for part, folder in folders.items()
    }
    least = image_files.min_source_side(facts.image_size)
    tree = FolderTree(parts, facts.channels, facts.image_size, "fix or remove what cannot be used", minimum=least)
    tree.refuse_all_problems(problems)
    return tree


def _classes(dataset_folder: Path, folders: list[Path], facts: DatasetFacts) -> tuple[str, ...]:
    """The classes of all parts. Raises: UserError naming those in one part alone, or all if their number is wrong."""
    found = [image_files.class_folders(folder) for folder in folders]
    if not facts.has_test_part and set(found[0]) == {"train", "test"} and facts.classes != 2:
        problem = "has the folders train/ and test/, so the data has its own test part"
        raise UserError(problem, where=str(dataset_folder), remedy="set split.test_per_class to null")
    unmatched = sorted(set(found[0]) ^ set(found[-1]))
    if unmatched:
        problem = f"{_join_names(unmatched)} {'is' if len(unmatched) == 1 else 'are'} in only one of train/ and test/"
        raise UserError(problem, where=str(dataset_folder), remedy="give both the same class folders")
    classes = found[0]
    if len(classes) != facts.classes:
        empty = [name for name in classes if not any(image_files.images_below(f / name, Problems()) for f in folders)]
        without = f", without an image in {_join_names(empty)}" if empty else ""
        count = f"{len(classes)} class folder{'' if len(classes) == 1 else 's'}"
        problem = f"has {count}{f': {_join_names(classes)}' if classes else ''}{without}; params state {facts.classes}"
        raise UserError(problem, where=str(folders[0]), remedy="fix source.classes, or add or remove folders")
    return classes


def _join_names(names: Sequence[str]) -> str:
    """Names, of which the first dozen are written out."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


class NpzArrays:
    """Arrays in an .npz file, opened one part at a time. Raises: UserError if an array is missing or unfit."""

    def __init__(self, path: Path, facts: DatasetFacts) -> None:
        self._path, self._facts, self._counts = path, facts, ConversionCounts()
        prefixes: dict[PartName, str] = {"train": "train_", "test": "test_"} if facts.has_test_part else {"all": ""}
        self._names = {part: (f"{prefix}images", f"{prefix}labels") for part, prefix in prefixes.items()}
        wanted = [name for pair in self._names.values() for name in pair]
        there = npz_names(path)
        missing = [name for name in wanted if name not in there]
        if missing:
            problem = f"has no array {missing[0]} (it has {', '.join(sorted(there)) or 'none'})"
            other = "a number of images per class" if facts.has_test_part else "null"
            remedy = f"add it, or set split.test_per_class to {other}"
            raise UserError(problem, where=str(path), remedy=remedy)
        unused = sorted(there - set(wanted))
        if unused:
            log.warning("%s: these arrays are not used: %s", path, ", ".join(unused))

    def files(self) -> Iterable[tuple[str, Path]]:
        """The one file."""
        yield "npz", self._path

    def require_published_data(self, digest: str) -> None:
        """Nothing to compare: no publisher states a digest."""

    def part(self, name: PartName) -> Part:
        """A part, in memory. Raises: UserError if its arrays are of the wrong kind."""
        images_name, labels_name = self._names[name]
        pixels = self._images(images_name)
        labels_N = self._labels(labels_name, len(pixels))
        return Part(labels_N, lambda rows: self._read(pixels, rows))

    def card_facts(self) -> dict[str, object]:
        """How many images were converted, resized and so on; arrays have nothing that is dropped."""
        return self._counts.facts()

    def _images(self, name: str) -> NDArray[np.generic]:
        """N x H x W x C, or N x H x W for grey ones."""
        pixels = npz_array(self._path, name)
        if pixels.dtype != np.uint8:
            problem = f"array {name} is {pixels.dtype}; images must be uint8"
            raise UserError(problem, where=str(self._path), remedy="store pixels as whole numbers from 0 to 255")
        shape = "x".join(map(str, pixels.shape))
        first, last = (pixels.ndim == 4 and pixels.shape[axis] in (1, 3) for axis in (1, 3))
        if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and not (first or last)) or 0 in pixels.shape:
            remedy = "store N x H x W, N x H x W x C or N x C x H x W with C of 1 or 3"
            raise UserError(f"array {name} has shape {shape}", where=str(self._path), remedy=remedy)
        if first and last:
            problem = f"array {name} has shape {shape}: its channels may be the second number or the last"
            remedy = "store images whose sides are longer than 3 pixels"
            raise UserError(problem, where=str(self._path), remedy=remedy)
        pixels = pixels.transpose(0, 2, 3, 1) if first else pixels
        if min(pixels.shape[1:3]) < image_files.min_source_side(self._facts.image_size):
            problem = f"array {name} has shape {shape}: a side below half of image_size {self._facts.image_size}"
            raise UserError(problem, where=str(self._path), remedy="lower source.image_size, or store larger images")
        return pixels[..., 0] if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels

    def _labels(self, name: str, count: int) -> NDArray[np.int64]:
        labels = npz_array(self._path, name)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or len(labels) != count or not np.issubdtype(labels.dtype, np.integer):
            shape = "x".join(map(str, labels.shape))
            problem = f"array {name} has shape {shape} and type {labels.dtype}; there are {count} images"
            raise UserError(problem, where=str(self._path), remedy="store one whole number per image")
        return labels.astype(np.int64)

    def _read(self, pixels: NDArray[np.generic], rows: Rows) -> Pixels:
        channels, size = self._facts.channels, self._facts.image_size
        block = np.zeros((len(rows), channels, size, size), dtype=np.uint8)
        for place, row in enumerate(rows):
            image = Image.fromarray(np.ascontiguousarray(pixels[row], dtype=np.uint8))
            block[place] = image_files.convert_and_resize(image, channels, size, self._counts)
        return block
