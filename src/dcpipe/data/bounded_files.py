"""Files that somebody else made, looked at before they are read: what they declare is compared with what they have.

docs/reliability.md lists every kind of file that is opened, and its bounds.
"""

import gzip
import math
import zipfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from PIL import Image

from dcpipe.errors import UserError

MAX_TEXT = 2**26  # bytes of a list of names
MAX_UNPACKED = 2**27  # bytes of a gzip file of MNIST; the largest has 47 million
MAX_MATLAB = 2**31  # bytes of all arrays in a .mat file of SVHN; the largest has 1.6 billion
MAX_ARRAYS = 1000  # in an .npz file
_IMAGES = ("JPEG", "PNG", "PPM", "BMP", "DIB", "TIFF", "WEBP", "GIF")

_BLOCK = 2**20


@cache
def image_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are decoded; it would hand others, such as PostScript, to another program."""
    Image.init()
    return tuple(name for name in _IMAGES if name in Image.OPEN)


def read_bounded_text(path: Path, remedy: str) -> str:
    """The text in a file. Raises: UserError if it cannot be read, is no UTF-8, or is too long for a list."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT + 1)
        if len(content) > MAX_TEXT:
            raise UserError(f"has more than {MAX_TEXT} bytes, too many for a list", where=str(path), remedy=remedy)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"cannot be read ({reason})", where=str(path), remedy=remedy) from error


def unpack_gzip(packed: Path, target: Path, remedy: str) -> None:
    """Unpack a gzip file. Raises: UserError if it is damaged, or holds more than any that is expected."""
    total = 0
    try:
        with gzip.open(packed, "rb") as source, target.open("wb") as to:
            while block := source.read(_BLOCK):
                total += len(block)
                if total > MAX_UNPACKED:
                    problem = f"unpacks to more than {MAX_UNPACKED} bytes"
                    raise UserError(problem, where=str(packed), remedy=remedy)
                to.write(block)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot be unpacked ({error})", where=str(packed), remedy=remedy) from error


def npz_names(path: Path) -> set[str]:
    """The names of the arrays in an .npz file. Raises: UserError if it is none, or has more than a thousand."""
    remedy = "write it with numpy.savez"
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
    except (OSError, ValueError, NotImplementedError, EOFError, zipfile.BadZipFile) as error:
        raise UserError("is not an .npz file", where=str(path), remedy=remedy) from error
    if len(names) > MAX_ARRAYS or len(set(names)) < len(names):
        problem = f"has {len(names)} arrays of {len(set(names))} names; at most {MAX_ARRAYS}, all different, are read"
        raise UserError(problem, where=str(path), remedy=remedy)
    return set(names)


def npz_array(path: Path, name: str) -> NDArray[np.generic]:
    """One array of an .npz file. It is read if its header, its entry and the free memory agree.

    Raises: UserError if it is damaged, holds objects, or declares another size than it has.
    """
    try:
        _refuse_header(path, name)
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except Exception as error:  # a damaged archive can make zipfile and numpy raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        problem = f"the array {name} cannot be read ({reason})"
        raise UserError(problem, where=str(path), remedy="write it again, as numbers that fit in memory") from error


def _refuse_header(path: Path, name: str) -> None:
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        with archive.open(entry) as file:
            read = {
                (1, 0): npy_format.read_array_header_1_0,
                (2, 0): npy_format.read_array_header_2_0,
            }[npy_format.read_magic(file)]
            shape, _, dtype = read(file)
            stored = entry.file_size - file.tell()
    declared = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if declared != stored:
        raise ValueError(f"it declares {declared} bytes and has {stored}")
    if declared > available_memory():
        raise ValueError(f"it has {declared / 1e9:.1f} GB, and {available_memory() / 1e9:.1f} GB of memory are free")


def available_memory() -> float:
    """Bytes of memory that are free, as Linux says; infinite where nothing says it."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return math.inf


def refuse_matlab_bomb(path: Path, remedy: str) -> None:
    """Unpack the compressed arrays of a .mat file block by block, keeping nothing.

    Raises: UserError if they hold more than any .mat file of SVHN, or the file is damaged.
    """
    total, size = 0, path.stat().st_size
    try:
        with path.open("rb") as file:
            order = "<" if file.read(128)[126:128] == b"IM" else ">"
            while file.tell() < size:
                kind, length = np.frombuffer(file.read(8), dtype=f"{order}u4").tolist()
                end = file.tell() + length
                if end > size:
                    raise ValueError("an array goes beyond its end")
                unpacker = zlib.decompressobj() if kind == 15 else None  # miCOMPRESSED
                while file.tell() < end and unpacker:
                    rest = file.read(min(_BLOCK, end - file.tell()))
                    while rest and not unpacker.eof:
                        total += len(unpacker.decompress(rest, _BLOCK))
                        rest = unpacker.unconsumed_tail
                        if total > MAX_MATLAB:
                            raise ValueError(f"it unpacks to more than {MAX_MATLAB} bytes")
                file.seek(end)
    except (OSError, ValueError, zlib.error) as error:
        raise UserError(f"cannot be read ({error})", where=str(path), remedy=remedy) from error
