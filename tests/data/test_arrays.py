"""Laws of arrays on disk: exact, and every flipped bit is found when it is read, whatever the codec."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import repository
from dcpipe.data import arrays
from dcpipe.data.arrays import Codec
from dcpipe.errors import CorruptArtifactError

ROWS = np.arange(4 * 5, dtype=np.float32).reshape(4, 5) / 7


def _written(folder: Path, codec: Codec) -> Path:
    array = arrays.create(folder, "x", (4, 5), "float32", chunks=(1, 5), shards=(4, 5), codec=codec)
    array[...] = ROWS
    (shard,) = [path for path in (folder / "x/c").rglob("*") if path.is_file()]
    return shard


def _read(folder: Path) -> NDArray[np.generic] | None:
    try:
        return arrays.read(folder, "x")
    except CorruptArtifactError as error:
        return None if error.where == str(folder / "x") else ROWS


@pytest.mark.parametrize("codec", get_args(Codec))
def test_any_flipped_bit_of_a_shard_is_an_error(codec: Codec, tmp_path: Path) -> None:
    shard = _written(tmp_path, codec)
    whole = shard.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        shard.write_bytes(damaged)
        assert _read(tmp_path) is None, f"byte {position} of {len(whole)} may be anything"
    shard.write_bytes(whole)
    assert np.array_equal(arrays.read(tmp_path, "x"), ROWS)


@pytest.mark.parametrize("codec", get_args(Codec))
def test_a_truncated_shard_is_an_error(codec: Codec, tmp_path: Path) -> None:
    shard = _written(tmp_path, codec)
    whole = shard.read_bytes()
    for length in range(1, len(whole)):  # one of no bytes is as good as missing, which `artifact.checked` refuses
        shard.write_bytes(whole[:length])
        assert _read(tmp_path) is None


@pytest.mark.parametrize("codec", get_args(Codec))
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
def test_every_codec_is_lossless(codec: Codec, dtype: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (4, 40), dtype=np.uint8).view(dtype)
    array = arrays.create(tmp_path, "x", rows.shape, dtype, chunks=(1, rows.shape[1]), shards=rows.shape, codec=codec)
    array[...] = rows
    assert arrays.read(tmp_path, "x").tobytes() == rows.tobytes()


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7])
def test_rows_come_back_whether_or_not_they_fill_their_chunks(count: int, tmp_path: Path) -> None:
    rows = np.arange(count * 2, dtype=np.int64).reshape(count, 2)
    arrays.write_rows(tmp_path, "x", rows, chunk_rows=3)
    assert np.array_equal(arrays.read(tmp_path, "x"), rows)
    if count > 4:
        assert np.array_equal(arrays.read(tmp_path, "x", (slice(2, 5),)), rows[2:5])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        _written(tmp_path / folder, "blosc-bitshuffle-zstd")
    assert repository.bytes_below(tmp_path / "a") == repository.bytes_below(tmp_path / "b")


def test_rows_of_zeros_come_back_though_their_chunks_are_left_out(tmp_path: Path) -> None:
    rows = np.zeros((6, 2), dtype=np.int64)
    arrays.write_rows(tmp_path, "x", rows, chunk_rows=3)
    assert np.array_equal(arrays.read(tmp_path, "x"), rows)


def test_only_the_chunk_that_is_damaged_is_lost(tmp_path: Path) -> None:
    """A segment reads two checkpoints: damage elsewhere in the shard is not its concern."""
    shard = _written(tmp_path, "none")
    damaged = bytearray(shard.read_bytes())
    damaged[0] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(CorruptArtifactError):
        arrays.read(tmp_path, "x", (0, slice(None)))
    assert np.array_equal(arrays.read(tmp_path, "x", (slice(1, 4), slice(None))), ROWS[1:])
