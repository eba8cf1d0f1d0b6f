"""What a folder of photographs holds: its classes, and how many images of which sizes and colours."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from dcpipe import progress
from dcpipe.data import image_files
from dcpipe.data.bounded_files import image_formats
from dcpipe.data.problems import Problems
from dcpipe.errors import UserError

GREY_MODES = ("1", "L", "LA")  # Pillow's names of images without colour
MIN_PER_CLASS = 20  # images of the rarest class, test images included
DECODED = 5_000  # files that are decoded whole; of others only the first bytes are read
DRAFT = (64, 64)  # JPEG files are decoded at about this size, which is several times as fast
DEEP_MODES = ("I", "F")  # Pillow's names of images of more than 8 bits a channel
MIN_SIDE = 8  # pixels: half of the smallest size that is chosen
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen. `counts` are readable images by class, of train/ where `test_counts` has those of test/.

    `sides` are the shorter sides of all images in pixels, ascending; `problems` are the files that preparing the data
    will refuse.
    """

    folder: Path
    counts: Mapping[str, int]
    test_counts: Mapping[str, int]
    channels: int
    sides: tuple[int, ...]
    problems: Problems

    @property
    def images(self) -> int:
        """Readable images in all."""
        return len(self.sides)

    @property
    def rarest(self) -> tuple[str, int]:
        """The class with the fewest images to train on, and how many it has."""
        name = min(self.counts, key=lambda one: self.counts[one])
        return name, self.counts[name]

    @property
    def median_side(self) -> int:
        """The median of the shorter sides, in pixels."""
        return int(median(self.sides))

    def share_below(self, side: int) -> float:
        """The share of images whose shorter side has fewer pixels."""
        return sum(one < side for one in self.sides) / len(self.sides)


def survey(folder: Path) -> Survey:
    """Look at every file of a folder of class folders, or of train/ and test/ with class folders in each.

    Raises: UserError if it is no such folder, has no image, fewer than two classes, or a class of too few images.
    """
    parts = _parts(folder)
    classes = _classes(folder, parts)
    problems = Problems()
    listed = {
        part: {name: image_files.images_below(place / name, problems) for name in classes}
        for part, place in parts.items()
    }
    counted = {part: dict.fromkeys(classes, 0) for part in parts}
    sides, colours = list[int](), set[str]()
    files = [
        (part, name, parts[part] / name / file)
        for part, of_class in listed.items()
        for name, names in of_class.items()
        for file in names
    ]
    every = max(1, -(-len(files) // DECODED))
    for number, (part, name, path) in enumerate(progress.track(files, "looking at the images")):
        seen = _inspect_image(path, problems, whole=number % every == 0)
        if seen is None:
            continue
        side, mode = seen
        counted[part][name] += 1
        sides.append(side)
        colours.add(mode)
    if not sides:
        remedy = "name a folder that holds one folder of image files per class"
        raise UserError("contains no image that can be read", where=str(folder), remedy=remedy)
    found = Survey(
        folder=folder,
        counts=counted["train" if "train" in parts else "all"],
        test_counts=counted.get("test", {}),
        channels=1 if colours <= set(GREY_MODES) else 3,
        sides=tuple(sorted(sides)),
        problems=problems,
    )
    _refuse_too_few(found)
    return found


def _parts(folder: Path) -> dict[str, Path]:
    """The folders that hold the class folders, by part: all, or train and test."""
    if folder.is_file():
        raise UserError("is a file", where=str(folder), remedy="name the folder that holds one folder per class")
    inside = set(image_files.class_folders(folder))
    if {"train", "test"} <= inside:
        return {"train": folder / "train", "test": folder / "test"}
    halves = sorted(inside & {"train", "val", "valid", "validation"})
    if "train" in halves and len(halves) == len(inside):
        problem = f"has {' and '.join(f'{name}/' for name in halves)} and no test/"
        remedy = f"rename {halves[-1]}/ to test/" if len(halves) > 1 else f"name {folder / 'train'} itself"
        raise UserError(problem, where=str(folder), remedy=remedy)
    return {"all": folder}


def _classes(folder: Path, parts: Mapping[str, Path]) -> tuple[str, ...]:
    names = {part: image_files.class_folders(place) for part, place in parts.items()}
    unmatched = sorted(set.symmetric_difference(*map(set, names.values()))) if len(names) > 1 else []
    if unmatched:
        problem = f"the class folder {unmatched[0]} is in only one of train/ and test/"
        raise UserError(problem, where=str(folder), remedy="give both the same class folders")
    classes = next(iter(names.values()))
    if len(classes) < 2:
        only = f" ({classes[0]})" if classes else ""
        problem = f"has {len(classes) or 'no'} class folder{only}; distillation needs two classes or more"
        deeper = classes and len(image_files.class_folders(folder / classes[0])) > 1
        remedy = (
            f"name {folder / classes[0]}, whose folders may be the classes" if deeper else "make a folder per class"
        )
        raise UserError(problem, where=str(folder), remedy=remedy)
    return classes


def _inspect_image(path: Path, problems: Problems, *, whole: bool) -> tuple[int, str] | None:
    """An image's shorter side in pixels, and Pillow's name of its mode; None, and a problem, if it cannot be used."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=image_formats()) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            side, mode = min(image.size), image.mode
            if mode.startswith(DEEP_MODES):
                problems.add(path, "has more than 8 bits a channel")
                return None
            if side < MIN_SIDE:
                problems.add(path, f"has a side below {MIN_SIDE} pixels")
                return None
            if whole:
                image.draft(mode, DRAFT)
                image.load()
    except _UNREADABLE as error:
        problems.add(path, "cannot be read as an image", str(error).partition("\n")[0].replace(f" '{path}'", ""))
        return None
    return side, mode


def _refuse_too_few(survey: Survey) -> None:
    name, count = survey.rarest
    least = MIN_PER_CLASS if not survey.test_counts else MIN_PER_CLASS // 2
    if count < least:
        part = "train/" if survey.test_counts else ""
        problem = f"the class {name} has {count} images; each class needs {least} or more"
        raise UserError(problem, where=str(survey.folder / part), remedy="add images, or leave the class out")
    empty = next((one for one, images in survey.test_counts.items() if not images), None)
    if empty:
        problem = "contains no image that can be read"
        raise UserError(problem, where=str(survey.folder / "test" / empty), remedy="add images, or leave the class out")
