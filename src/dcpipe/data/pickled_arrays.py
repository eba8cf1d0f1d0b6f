"""Pickles of numbers, texts, lists, mappings and numpy's arrays, read without importing or calling what they name.

A pickle is a program that may call anything. Here every name in it is looked up in a table of stand-ins, which build
arrays from a shape, a type of number and bytes; any other name refuses the file. The program is looked through before
it runs: an instruction that such files do not need, or one that would reserve more memory than the file has bytes,
refuses it too.
"""

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dcpipe.errors import UserError

DEEPEST = 16  # lists inside lists; published files have 3
_NUMBERS = re.compile(r"[|<>=]?(?:[iuf][1248]|b1)")
_REFUSED = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}


class UnsafePickleError(Exception):
    """A pickle that holds something other than numbers, texts, lists, mappings and arrays."""


class PickledType:
    """Stands for numpy.dtype: a type of number."""

    def __init__(self, text: str, *_: object) -> None:
        if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
            raise UnsafePickleError(f"has values of the type {text!r:.40}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        """The byte order, which numpy states apart from the type."""
        if state[1] in {"<", ">"}:
            self.dtype = self.dtype.newbyteorder("<" if state[1] == "<" else ">")


class PickledArray:
    """Stands for what numpy.core.multiarray._reconstruct makes: an array that is filled by its state."""

    array: NDArray[np.generic]

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        """Version, shape, type, whether columns come first, and the bytes."""
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, PickledType) or not isinstance(shape, tuple):
            raise UnsafePickleError("has an array without a shape or a type")
        if isinstance(content, str):  # of Python 2
            content = content.encode("latin1")
        sizes = [size for size in shape if isinstance(size, int) and size >= 0]
        if not isinstance(content, bytes) or len(sizes) != len(shape):
            raise UnsafePickleError("has an array without bytes")
        if math.prod(sizes) * kind.dtype.itemsize != len(content):
            raise UnsafePickleError(f"has an array of shape {shape} in {len(content)} bytes")
        flat = np.frombuffer(content, dtype=kind.dtype)
        self.array = flat.reshape(sizes, order="F" if by_columns else "C")


class PickledNdarray:
    """Stands for numpy.ndarray, which is only ever an argument."""


def _scalar(kind: PickledType, content: bytes | str) -> int | float | bool:
    """Stands for numpy.core.multiarray.scalar: one number."""
    raw = content.encode("latin1") if isinstance(content, str) else content
    if len(raw) != kind.dtype.itemsize:
        raise UnsafePickleError("has a number without bytes")
    value: int | float | bool = np.frombuffer(raw, dtype=kind.dtype)[0].item()
    return value


def _encoded(text: str, encoding: str) -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes for Python 2."""
    if encoding not in {"latin1", "latin-1"}:
        raise UnsafePickleError(f"has text in {encoding!r:.40}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Stands for bytes, by which Python 3 writes no bytes for Python 2."""
    return b""


def _numpy_placeholders() -> dict[str, Callable[..., object]]:
    both: dict[str, Callable[..., object]] = {"_reconstruct": PickledArray, "scalar": _scalar}
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    found: dict[str, Callable[..., object]] = {f"{m}.{name}": made for m in modules for name, made in both.items()}
    return found | {"numpy.ndarray": PickledNdarray, "numpy.dtype": PickledType}


ARRAYS: Mapping[str, Callable[..., object]] = MappingProxyType(_numpy_placeholders())
"""What stands for each of numpy's names in a pickle."""


class _Unpickler(pickle.Unpickler):
    """Looks every name up in the table, and imports nothing."""

    def find_class(self, module: str, name: str, /) -> Callable[..., object]:
        """Raises: UnsafePickleError for any other name."""
        known = {**ARRAYS, "_codecs.encode": _encoded, "__builtin__.bytes": _empty_bytes}
        if f"{module}.{name}" not in known:
            raise UnsafePickleError(f"names {module}.{name}"[:80])
        return known[f"{module}.{name}"]


def read_pickle(path: Path, remedy: str) -> object:
    """What a pickle holds: numbers, texts, bytes, lists, tuples, mappings and arrays of numbers.

    Raises: UserError if the file is no such pickle, with this remedy.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            _refuse_unsafe_content(handle, size)
            handle.seek(0)
            loaded = _Unpickler(handle, encoding="latin1").load()
        return replace_placeholders(loaded, size)
    except Exception as error:  # a damaged or crafted pickle can make the reader raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        problem = f"is damaged, or holds something other than arrays ({reason}); no code in it was run"
        raise UserError(problem, where=str(path), remedy=remedy) from error


def _refuse_unsafe_content(handle: BinaryIO, size: int) -> None:
    for instruction, value, _ in pickletools.genops(handle):
        if instruction.name in _REFUSED:
            raise UnsafePickleError(f"has the instruction {instruction.name}")
        if instruction.name in _MEMO and isinstance(value, int) and value > size:
            raise UnsafePickleError(f"has the memo index {value}")


def replace_placeholders(loaded: object, maximum: int) -> object:
    """What was read, with arrays in the place of their stand-ins.

    Raises: UnsafePickleError if it is nested too deeply, or has more than `maximum` parts: a few bytes can name one
    list many times inside another.
    """
    left = maximum

    def walk(value: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if depth > DEEPEST or left < 0:
            raise UnsafePickleError("holds lists that are nested too deeply, or repeated too often")
        if isinstance(value, PickledArray):
            return value.array
        if isinstance(value, dict):
            return {key: walk(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, depth + 1) for inner in value]
        return tuple(walk(inner, depth + 1) for inner in value) if isinstance(value, tuple) else value

    return walk(loaded, 0)
