"""Images in files, one folder per class: listed first, decoded a few at a time, and every bad file reported.

Legend: N images, n of them, C channels, H W pixels.
"""

import logging
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcpipe.data.source import Part, PartName, Pixels, Rows
from dcpipe.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_MODES = {1: "L", 3: "RGB"}
_DEEP = ("I", "F")  # more than 8 bits a channel: Pillow would clip them to white
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)

log = logging.getLogger("dcpipe")


@dataclass
class Problems:
    """What is wrong with a source: all of it goes to the log, the first problem and the count to the error."""

    problems: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, path: Path, problem: str) -> None:
        """Log one problem and keep it."""
        self.problems.append((path, problem))
        log.warning("%s: %s", path, problem)

    def refuse(self, remedy: str) -> None:
        """Raises: UserError if there is any problem."""
        if self.problems:
            path, problem = self.problems[0]
            more = f" (and {len(self.problems) - 1} more, see the log)" if len(self.problems) > 1 else ""
            raise UserError(f"{problem}{more}", where=str(path), remedy=remedy)


@dataclass(frozen=True, slots=True)
class Listing:
    """One part: by label a folder and its name; for each image its file below that folder and its label (N)."""

    folders: tuple[Path, ...]
    classes: tuple[str, ...]
    names: list[str]
    labels_N: NDArray[np.int64]

    def path(self, row: int) -> Path:
        """An image's file."""
        return self.folders[int(self.labels_N[row])] / self.names[row]


@dataclass(slots=True)
class Counts:
    """How many images were converted (colours) and resized."""

    converted: int = 0
    resized: int = 0


def class_folders(path: Path) -> tuple[str, ...]:
    """The visible folders below a folder, in the order of their names.

    Raises: UserError if the folder is not there.
    """
    if not path.is_dir():
        raise UserError(
            "this folder does not exist", where=str(path), remedy="put the images there, one folder per class"
        )
    with os.scandir(path) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def images_below(folder: Path, problems: Problems) -> list[str]:
    """The image files at or below a folder, relative to it, in the order of their names; hidden files are skipped."""
    names: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if not name.lower().endswith(SUFFIXES):
                problems.add(path, "does not have the name of an image file")
                continue
            names.append(path.relative_to(folder).as_posix())
    if not names:
        problems.add(folder, "contains no image")
    return sorted(names)


def listing(folders: Sequence[Path], classes: Sequence[str], problems: Problems) -> Listing:
    """The images of one folder a class; a class's label is its place in the sequence."""
    return of_names(folders, classes, [images_below(folder, problems) for folder in folders])


def of_names(folders: Sequence[Path], classes: Sequence[str], names: Sequence[list[str]]) -> Listing:
    """The same from file names that are known, a list a class."""
    counts = [len(members) for members in names]
    labels_N = np.repeat(np.arange(len(names), dtype=np.int64), counts)
    return Listing(tuple(folders), tuple(classes), [name for members in names for name in members], labels_N)


def fit_image(image: Image.Image, channels: int, size: int, counts: Counts) -> Pixels:
    """One decoded image as C x H x W: converted to `channels` and resized to `size` x `size` pixels.

    Bilinear with Pillow's antialiasing; the aspect ratio is not kept, as in the published ImageNet pipeline.
    Raises: ValueError for pixels of more than 8 bits.
    """
    if image.mode.startswith(_DEEP):
        raise ValueError(f"has more than 8 bits a channel (Pillow's mode {image.mode})")
    if image.mode != _MODES[channels]:
        image = image.convert(_MODES[channels])
        counts.converted += 1
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        counts.resized += 1
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


class ImageFiles:
    """A source whose parts are listings. Images with a side of fewer than `least` pixels are refused."""

    def __init__(
        self, parts: dict[PartName, Listing], channels: int, size: int, remedy: str, *, least: int = 1
    ) -> None:
        self._parts, self._channels, self._size, self._least = parts, channels, size, least
        self._remedy, self._problems, self._counts = remedy, Problems(), Counts()

    def files(self) -> Iterable[tuple[str, Path]]:
        """Every image under part, class and name: another arrangement of the same images has the same names."""
        for part, members in self._parts.items():
            for row, name in enumerate(members.names):
                yield f"{part}/{members.classes[members.labels_N[row]]}/{name}", members.path(row)

    def refuse_unpublished(self, digest: str) -> None:
        """Nothing to compare: no publisher states a digest."""

    def part(self, name: PartName) -> Part:
        """A part; images are decoded when they are read."""
        members = self._parts[name]
        return Part(members.labels_N, lambda rows: self._read(members, rows), members.classes)

    def finish(self) -> dict[str, object]:
        """How many images were converted and resized. Raises: UserError if any could not be read."""
        self._problems.refuse(self._remedy)
        return {"converted": self._counts.converted, "resized": self._counts.resized}

    def _read(self, members: Listing, rows: Rows) -> Pixels:
        block = np.zeros((len(rows), self._channels, self._size, self._size), dtype=np.uint8)
        for place, row in enumerate(rows):
            path = members.path(int(row))
            try:
                with Image.open(path) as image:
                    if min(image.size) < self._least:
                        pixels = "x".join(map(str, image.size))
                        self._problems.add(path, f"has {pixels} pixels: less than half of image_size {self._size}")
                        continue
                    block[place] = fit_image(image, self._channels, self._size, self._counts)
            except _BROKEN as error:  # go on: one pass over a large tree should report every bad file
                self._problems.add(path, f"cannot be read as an image ({_first_line(error)})")
        return block


def refuse_counts(part: str, members: Listing, least: int, most: int, pin: str) -> None:
    """Compare the images of each class with what was published.

    Raises: UserError naming the first class that has fewer or more.
    """
    counts = np.bincount(members.labels_N, minlength=len(members.classes))
    wrong = np.flatnonzero((counts < least) | (counts > most))
    if len(wrong):
        first = int(wrong[0])
        bounds = str(least) if least == most else f"{least} to {most}"
        problem = f"has {counts[first]} {part} images; the publisher states {bounds}"
        more = f" (and {len(wrong) - 1} more classes)" if len(wrong) > 1 else ""
        raise UserError(problem + more, where=str(members.folders[first]), remedy=f"unpack it again, {pin}")


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
