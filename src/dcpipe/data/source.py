"""What every source of images gives the data stage.

Legend: N images, n of them, C channels, H W pixels.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dcpipe.errors import DcpipeError
from dcpipe.provenance.artifact import sha256

Rows = NDArray[np.int64]
Pixels = NDArray[np.uint8]
PartName = Literal["all", "train", "test"]


@dataclass(frozen=True, slots=True)
class Part:
    """Labels (N), known before any image is read, and images (n x C x H x W) by their rows, a few at a time."""

    labels_N: NDArray[np.int64]
    read: Callable[[Rows], Pixels]
    classes: tuple[str, ...] = ()  # names of the labels, where the source states them


class Source(Protocol):
    """A source whose place and layout are checked; no image is read yet."""

    def files(self) -> Iterable[tuple[str, Path]] | None:
        """Every file whose bytes reach the images, in a fixed order and under names that do not depend on the location.

        None for images that come inside a package, which constraints.txt pins.
        """

    def require_published_data(self, digest: str) -> None:
        """Compare with what the publisher states; `digest` is the digest of the files here. Raises: UserError."""

    def part(self, name: PartName) -> Part:
        """All images, or, where the source has a test part of its own, one of its parts. Raises: UserError."""

    def card_facts(self) -> dict[str, object]:
        """What the card states about the images that were read. Raises: UserError if something could not be."""


@dataclass(frozen=True, slots=True)
class FileStamps:
    """Files at one moment: each path with its size, its time of change and its number on the disk."""

    stamps: tuple[tuple[Path, int, int, int], ...]

    @classmethod
    def read(cls, paths: Iterable[Path]) -> "FileStamps":
        """At this moment. Raises: OSError if one cannot be looked at."""
        found = ((path, path.stat()) for path in paths)
        return cls(tuple((path, status.st_size, status.st_mtime_ns, status.st_ino) for path, status in found))

    def refuse_changed(self) -> None:
        """Raises: DcpipeError naming the first file that was changed, replaced or removed since."""
        for stamp in self.stamps:
            path, problem = stamp[0], "was changed"
            try:
                if FileStamps.read([path]).stamps == (stamp,):
                    continue
            except OSError:
                problem = "was removed"
            remedy = "wait until nothing writes there, then start the same command again"
            raise DcpipeError(f"{problem} while it was read; nothing was published", where=str(path), remedy=remedy)


def digest_of(files: Iterable[tuple[str, Path]]) -> str:
    """One digest for files under names: the SHA-256 over names, sizes and digests, in that order."""
    whole = hashlib.sha256()
    for name, path in files:
        whole.update(f"{name}\0{path.stat().st_size}\0{sha256(path)}\n".encode())
    return f"sha256:{whole.hexdigest()}"
