"""Zarr v3 arrays as every artifact here writes them: sharded, each chunk with its own checksum inside the shard.

The checksum must be an inner codec: Zarr's default one covers a shard's index only, and a flipped payload bit
would be read silently. A missing shard would read as zeros; `artifact.checked` refuses it before.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
import zarr.codecs
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec

from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance import damage
from dcpipe.provenance.json_value import JsonValue

Codec = Literal["none", "zstd", "blosc-bitshuffle-zstd"]


def codecs(codec: Codec, level: int, itemsize: int) -> list[BytesBytesCodec]:
    """The inner codecs of a chunk: a lossless compressor, if any, then crc32c."""
    chosen: dict[str, list[BytesBytesCodec]] = {
        "none": [],
        "zstd": [zarr.codecs.ZstdCodec(level=level)],
        "blosc-bitshuffle-zstd": [
            zarr.codecs.BloscCodec(cname="zstd", clevel=level, shuffle="bitshuffle", typesize=itemsize)
        ],
    }
    return [*chosen[codec], zarr.codecs.Crc32cCodec()]


def create(
    folder: Path,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    *,
    chunks: tuple[int, ...],
    shards: tuple[int, ...],
    codec: Codec = "zstd",
    level: int = 3,
) -> zarr.Array[Any]:
    """A new array below a Zarr folder; fill it a whole shard at a time."""
    return zarr.create_array(
        str(folder / name),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=codecs(codec, level, np.dtype(dtype).itemsize),
        fill_value=0,
    )


def write_rows(folder: Path, name: str, rows: NDArray[np.generic], *, chunk_rows: int) -> None:
    """Write an array chunked along its first axis, as one shard (whatever its length)."""
    count = max(len(rows), 1)
    chunk = min(chunk_rows, count)
    shard = -(-count // chunk) * chunk
    rest = rows.shape[1:]
    array = create(folder, name, rows.shape, str(rows.dtype), chunks=(chunk, *rest), shards=(shard, *rest))
    array[...] = rows


def read(folder: Path, name: str, where: tuple[int | slice, ...] | None = None) -> NDArray[np.generic]:
    """Part of an array (all of it by default), every chunk verified.

    Raises: CorruptArtifactError naming the array if a chunk is not what was written.
    """
    path = folder / name
    try:
        array = zarr.open_array(str(path), mode="r")
        return np.asarray(array[...] if where is None else array[where])
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        problem = f"does not read back as it was written ({str(error).splitlines()[0]})"
        raise CorruptArtifactError(problem, where=str(path), remedy=damage.remedy(path)) from error


def attributes(folder: Path) -> JsonValue:
    """The attributes of a Zarr group. Raises: CorruptArtifactError if there is no group."""
    try:
        group = zarr.open_group(str(folder), mode="r")
    except (ValueError, OSError) as error:
        raise CorruptArtifactError("is not a Zarr group", where=str(folder), remedy=damage.remedy(folder)) from error
    return JsonValue(group.attrs.asdict(), f"{folder}/zarr.json: attributes")
