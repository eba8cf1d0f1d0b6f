"""Images in files, one folder per class: listed first, decoded a few at a time, and every bad file reported.

Legend: N images, n of them, C channels, H W pixels.
"""

import logging
import os
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcpipe.data.bounded_files import image_formats
from dcpipe.data.problems import Problems
from dcpipe.data.source import Part, PartName, Pixels, Rows
from dcpipe.errors import UserError
from dcpipe.progress import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
ORIENTATION = 0x0112  # the EXIF tag
MEGAPIXELS = 178  # above, Pillow refuses to decode
_MODES = {1: "L", 3: "RGB"}
_DEEP = ("I", "F")  # more than 8 bits a channel: Pillow would clip them to white
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)

log = logging.getLogger("dcpipe")


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
class ConversionCounts:
    """How many images were converted (colours) and resized, and of how many something was dropped."""

    converted: int = 0
    resized: int = 0
    transparency_dropped: int = 0
    later_frames_dropped: int = 0
    rotation_ignored: int = 0

    def note_dropped(self, image: Image.Image) -> None:
        """Count what a decoded file states beyond the pixels that are taken from it."""
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            self.transparency_dropped += 1
        if getattr(image, "n_frames", 1) > 1:
            self.later_frames_dropped += 1
        with suppress(*_BROKEN):  # damaged EXIF data says nothing of a rotation
            if image.getexif().get(ORIENTATION, 1) != 1:
                self.rotation_ignored += 1

    def facts(self) -> dict[str, object]:
        """For the card; what was dropped is logged as well."""
        parts = {
            "the transparency": self.transparency_dropped,
            "every frame after the first": self.later_frames_dropped,
            "the EXIF rotation": self.rotation_ignored,
        }
        dropped = [f"{part} of {count}" for part, count in parts.items() if count]
        if dropped:
            log.info("dropped: %s images", ", ".join(dropped))
        return {
            "converted": self.converted,
            "resized": self.resized,
            "transparency_dropped": self.transparency_dropped,
            "later_frames_dropped": self.later_frames_dropped,
            "rotation_ignored": self.rotation_ignored,
        }


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
    """The image files at or below a folder, relative to it, in the order of their names; hidden files are skipped.

    Links are followed. Broken ones, those that lead in a circle and files without the name of an image are problems.
    """
    above = {_device_and_inode(path) for path in (*folder.parents, *folder.resolve().parents)}
    known = sum(map(len, problems.by_kind.values()))
    names = sorted(path.relative_to(folder).as_posix() for path in _walk(folder, above, problems))
    if not names and known == sum(map(len, problems.by_kind.values())):
        problems.add(folder, "contains no image")
    return names


def _walk(folder: Path, above: set[tuple[int, int]], problems: Problems) -> Iterator[Path]:
    """Every readable image file; `above` are the folders that lead here."""
    try:
        here = _device_and_inode(folder)
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except FileNotFoundError:
        problems.add(folder, "this folder does not exist")
        return
    except OSError as error:
        problems.add(folder, "cannot be listed", str(error.strerror))
        return
    if here in above:
        problems.add(folder, "is a link to a folder that contains it")
        return
    for entry in entries:
        path = folder / entry.name
        try:
            is_folder = path.stat() and entry.is_dir()
        except OSError:
            problems.add(path, "is a broken link" if entry.is_symlink() else "cannot be looked at")
            continue
        if is_folder:
            yield from _walk(path, above | {here}, problems)
        elif not entry.name.lower().endswith(SUFFIXES):
            problems.add(path, "does not have the name of an image file")
        elif not entry.is_file():
            problems.add(path, "is not a regular file")
        elif not os.access(path, os.R_OK):
            problems.add(path, "may not be read")
        else:
            yield path


def _device_and_inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def listing(folders: Sequence[Path], classes: Sequence[str], problems: Problems) -> Listing:
    """The images of one folder per class; a class's label is its place in the sequence."""
    return listing_of_names(folders, classes, [images_below(folder, problems) for folder in folders])


def listing_of_names(folders: Sequence[Path], classes: Sequence[str], names: Sequence[list[str]]) -> Listing:
    """The same from file names that are known, a list per class."""
    counts = [len(members) for members in names]
    labels_N = np.repeat(np.arange(len(names), dtype=np.int64), counts)
    return Listing(tuple(folders), tuple(classes), [name for members in names for name in members], labels_N)


def min_source_side(size: int) -> int:
    """The shortest side of an image that is resized to `size`: below half of it most pixels would be interpolated."""
    return -(-size // 2)


def convert_and_resize(image: Image.Image, channels: int, size: int, counts: ConversionCounts) -> Pixels:
    """One decoded image as C x H x W: converted to `channels` and resized to `size` x `size` pixels.

    Bilinear with Pillow's antialiasing; the aspect ratio is not kept, as in the published ImageNet pipeline.
    """
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
        self, parts: dict[PartName, Listing], channels: int, size: int, remedy: str, *, minimum: int = 1
    ) -> None:
        self._parts, self._channels, self._size, self._least = parts, channels, size, minimum
        self._remedy, self._problems, self._counts = remedy, Problems(), ConversionCounts()

    def refuse_all_problems(self, problems: Problems) -> None:
        """If there are problems already, decode every image before they are refused, so that one refusal has all.

        Raises: UserError.
        """
        if not problems:
            return
        self._problems = problems
        log.info("some files cannot be used; all others are read now, so that one message says everything")
        for members in self._parts.values():
            for row in track(range(len(members.names)), "images"):
                self._read(members, np.array([row]))
        problems.refuse(self._remedy)

    def files(self) -> Iterable[tuple[str, Path]]:
        """Every image under part, class and name: another arrangement of the same images has the same names."""
        for part, members in self._parts.items():
            for row, name in enumerate(members.names):
                yield f"{part}/{members.classes[members.labels_N[row]]}/{name}", members.path(row)

    def require_published_data(self, digest: str) -> None:
        """Nothing to compare: no publisher states a digest."""

    def part(self, name: PartName) -> Part:
        """A part; images are decoded when they are read."""
        members = self._parts[name]
        return Part(members.labels_N, lambda rows: self._read(members, rows), members.classes)

    def card_facts(self) -> dict[str, object]:
        """How many images were converted, resized and so on. Raises: UserError if any could not be read."""
        self._problems.refuse(self._remedy)
        return self._counts.facts()

    def _read(self, members: Listing, rows: Rows) -> Pixels:
        block = np.zeros((len(rows), self._channels, self._size, self._size), dtype=np.uint8)
        with warnings.catch_warnings():  # a large image has a line of our own
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            for place, row in enumerate(rows):
                path = members.path(int(row))
                try:
                    with Image.open(path, formats=image_formats()) as image:
                        if self._fits(path, image):
                            block[place] = convert_and_resize(image, self._channels, self._size, self._counts)
                            self._counts.note_dropped(image)
                except Image.DecompressionBombError:
                    self._problems.add(path, f"has more than {MEGAPIXELS} million pixels")
                except _BROKEN as error:  # go on: one pass over a large tree should report every bad file
                    self._problems.add(path, "cannot be read as an image", _first_line(error, path))
        return block

    def _fits(self, path: Path, image: Image.Image) -> bool:
        """Whether an image whose header was read may be decoded."""
        pixels = "x".join(map(str, image.size))
        if min(image.size) < self._least:
            self._problems.add(path, f"has a side below half of image_size {self._size}", f"{pixels} pixels")
            return False
        if _has_high_bit_depth(image):
            self._problems.add(path, "has more than 8 bits a channel")
            return False
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
            memory = image.width * image.height * 8 / 1e9  # decoded, and converted: 4 bytes per pixel each
            log.info("%s: has %s pixels; reading it takes up to %.1f GB of memory", path, pixels, memory)
        return True


def _has_high_bit_depth(image: Image.Image) -> bool:
    """Whether a channel has more than 8 bits in the file; of such a colour image Pillow would keep the upper 8."""
    tiles = [(tile[0], tile[3]) for tile in getattr(image, "tile", ())]
    wide = [";16" in str(stored) or (codec == "ppm" and int(stored[-1]) > 255) for codec, stored in tiles]
    return image.mode.startswith(_DEEP) or any(wide)


def refuse_counts(part: str, members: Listing, minimum: int, maximum: int, pin: str) -> None:
    """Compare the images of each class with what was published.

    Raises: UserError naming the first class that has fewer or more.
    """
    counts = np.bincount(members.labels_N, minlength=len(members.classes))
    wrong = np.flatnonzero((counts < minimum) | (counts > maximum))
    if len(wrong):
        first = int(wrong[0])
        bounds = str(minimum) if minimum == maximum else f"{minimum} to {maximum}"
        problem = f"has {counts[first]} {part} images; the publisher states {bounds}"
        more = f" (and {len(wrong) - 1} more classes)" if len(wrong) > 1 else ""
        raise UserError(problem + more, where=str(members.folders[first]), remedy=f"unpack it again, {pin}")


def _first_line(error: BaseException, path: Path) -> str:
    text = str(error).replace(f" '{path}'", "").splitlines()
    return text[0] if text else type(error).__name__
