"""Somebody's `.pt` files: tensors, numbers, texts, lists and mappings, and nothing that runs.

They are pickles. PyTorch's weights-only reader opens them, which builds tensors; numpy's numbers and arrays are built
by the stand-ins of `pickled_arrays`. What a file declares is compared with its size before and after it is read.
"""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from dcpipe.data import pickled_arrays
from dcpipe.errors import UserError

ZIP = b"PK\x03\x04"
REMEDY = "copy or download it again, or pass a file of tensors and lists alone"


class UnsafeFileError(Exception):
    """A file that declares more than it holds."""


def read_torch_file(path: Path, *, remedy: str = REMEDY) -> object:
    """What a `.pt` file holds: tensors (on the CPU), numpy's arrays, numbers, texts, lists, tuples and mappings.

    Tensors of PyTorch's present form are mapped: they take memory when they are used. All of them together declare no
    more bytes than the file has, so that copying them out is bounded by its size.

    Raises: UserError, with the remedy, if the file is damaged, holds anything else, or declares more than it has.
    """
    try:
        size = path.stat().st_size
        is_packed = _is_zip(path)
        if is_packed:
            _refuse_entries(path, size)
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(_safe_globals()),
        ):  # unusual files: looked through below
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_packed)
        found = pickled_arrays.replace_placeholders(loaded, max(size, 1))
        _refuse_sizes(found, size)
    except FileNotFoundError as error:
        raise UserError("this file does not exist", where=str(path), remedy=remedy) from error
    except Exception as error:  # a damaged or crafted file can make the reader raise anything
        problem = "is damaged, or contains something other than lists of tensors; no code in it was run"
        raise UserError(problem, where=str(path), remedy=remedy) from error
    return found


def _safe_globals() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    return [(made, name) for name, made in pickled_arrays.ARRAYS.items()]


def _is_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(ZIP)) == ZIP


def _refuse_entries(path: Path, size: int) -> None:
    """PyTorch packs its files without compression. Raises: UnsafeFileError for entries that would grow."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in entries):
            raise UnsafeFileError("has compressed entries")
        if sum(one.file_size for one in entries) > size:
            raise UnsafeFileError("declares more than it has")


def _refuse_sizes(value: object, size: int) -> None:
    """Raises: UnsafeFileError if the tensors are larger than the file: by a stride of 0, or unfilled room."""
    seen, total = set[tuple[int, int]](), 0
    for tensor in tensors_in(value):
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            continue  # whoever wants numbers refuses it by its place
        bytes_ = tensor.numel() * tensor.element_size()
        storage = tensor.untyped_storage()
        place = (storage.data_ptr(), int(tensor.storage_offset()))
        total += bytes_ if place not in seen else 0
        seen.add(place)
        if max(total, storage.nbytes(), bytes_) > size:
            raise UnsafeFileError("declares more than it has")


def tensors_in(found: object) -> Iterator[Tensor]:
    """Every tensor in what was read, at any depth, in its order."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        for value in found.values():
            yield from tensors_in(value)
    elif isinstance(found, list | tuple):
        for value in found:
            yield from tensors_in(value)
