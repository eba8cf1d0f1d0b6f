"""Laws of strangers' files: what they declare is compared with what they have, and nothing larger is made of it."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dcpipe.data import bounded_files, image_files
from dcpipe.data.problems import Problems
from dcpipe.data.source import FileStamps
from dcpipe.errors import DcpipeError, UserError


def _npz(path: Path, header: str, content: bytes, *, packed: bool = True) -> None:
    """An .npz file of one array `images` with this header and these bytes."""
    padded = header.encode().ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("images.npy", array)


def _header(shape: str, kind: str = "|u1") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def _rotten(path: Path) -> None:
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 255, 5000, dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


ARRAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "58 TB": (lambda path: _npz(path, _header("(58000000000000,)"), b"x"), "declares 58000000000000 bytes and has 1"),
    "less than it has": (lambda path: _npz(path, _header("(2,)"), b"xyz"), "declares 2 bytes and has 3"),
    "a negative size": (lambda path: _npz(path, _header("(-4,)"), b"xyz"), "declares -4 bytes and has 3"),
    "objects": (lambda path: np.savez(path, images=np.array([{}], dtype=object)), "holds Python objects"),
    "a header that calls": (lambda path: _npz(path, "__import__('os').mkdir('ran')", b""), "cannot be read"),
    "a header of brackets": (lambda path: _npz(path, _header("(" * 40 + "1" + ")" * 40), b"x"), "cannot be read"),
    "rotten": (_rotten, "cannot be read"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_not_as_it_says_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, told = ARRAYS[name]
    write(tmp_path / "x.npz")
    assert bounded_files.npz_names(tmp_path / "x.npz") == {"images"}
    with pytest.raises(UserError, match=r"x\.npz: the array images cannot be read \(.*") as caught:
        bounded_files.npz_array(tmp_path / "x.npz", "images")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_bomb_of_zeros_is_compared_with_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npz(tmp_path / "x.npz", _header("(4000000,)"), bytes(4_000_000))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    assert bounded_files.npz_array(tmp_path / "x.npz", "images").shape == (4_000_000,)
    assert 1e7 < bounded_files.available_memory() < 1e15
    monkeypatch.setattr(bounded_files, "available_memory", lambda: 3e6)
    with pytest.raises(UserError, match=r"it has 0\.0 GB, and 0\.0 GB of memory are free"):
        bounded_files.npz_array(tmp_path / "x.npz", "images")


def test_whole_arrays_come_back_and_too_many_or_double_names_do_not(tmp_path: Path) -> None:
    whole = {"images": np.arange(12).reshape(3, 4), "columns": np.asfortranarray(np.ones((2, 3))), "none": np.zeros(0)}
    np.savez(tmp_path / "x.npz", **whole)
    for name in bounded_files.npz_names(tmp_path / "x.npz"):
        np.testing.assert_array_equal(bounded_files.npz_array(tmp_path / "x.npz", name), whole[name])
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        for number in range(bounded_files.MAX_ARRAYS + 1):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(UserError, match=r"y\.npz: has 1001 arrays"):
        bounded_files.npz_names(tmp_path / "y.npz")
    for content in (b"", b"PK\x03\x04", b"hello"):
        (tmp_path / "z.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"z\.npz: is not an \.npz file; write it with"):
            bounded_files.npz_names(tmp_path / "z.npz")


def test_gzip_and_texts_end_at_their_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_files, "MAX_UNPACKED", 3 * 2**20)
    monkeypatch.setattr(bounded_files, "MAX_TEXT", 1000)
    for size, fits in ((3 * 2**20, True), (3 * 2**20 + 1, False)):
        (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(size)))
        if fits:
            bounded_files.unpack_gzip(tmp_path / "x.gz", tmp_path / "x", "-")
            assert (tmp_path / "x").read_bytes() == bytes(size)
            continue
        with pytest.raises(UserError, match=r"x\.gz: unpacks to more than 3145728 bytes"):
            bounded_files.unpack_gzip(tmp_path / "x.gz", tmp_path / "x", "-")
        assert (tmp_path / "x").stat().st_size <= 3 * 2**20
    (tmp_path / "a.txt").write_text("a" * 1000)
    assert bounded_files.read_bounded_text(tmp_path / "a.txt", "-") == "a" * 1000
    for content, told in (
        (b"a" * 1001, "has more than 1000 bytes, too many for a list"),
        (b"\xff\xfe", "cannot be read"),
    ):
        (tmp_path / "a.txt").write_bytes(content)
        with pytest.raises(UserError, match=told):
            bounded_files.read_bounded_text(tmp_path / "a.txt", "-")


def test_matlab_files_are_unpacked_no_further_than_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"X": np.zeros((32, 32, 3, 500), dtype=np.uint8), "y": np.ones((500, 1))}, do_compression=True)
    bounded_files.refuse_matlab_bomb(path, "-")
    monkeypatch.setattr(bounded_files, "MAX_MATLAB", 32 * 32 * 3 * 500)
    with pytest.raises(UserError, match=r"x\.mat: cannot be read \(it unpacks to more than 1536000 bytes\)"):
        bounded_files.refuse_matlab_bomb(path, "-")
    head = path.read_bytes()[:128]
    for rest in (struct.pack("<II", 15, 4) + b"zzzz", struct.pack("<II", 15, 2**31) + b"x", b"\x0f"):
        path.write_bytes(head + rest)
        with pytest.raises(UserError, match=r"x\.mat: cannot be read"):
            bounded_files.refuse_matlab_bomb(path, "-")


def _picture(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, format=kind)
    return content.getvalue()


def _wide_png(side: int) -> bytes:
    """A PNG whose header says so many pixels per side, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(ran) (w) file closefile\nshowpage\n"


def test_only_formats_that_pillow_itself_decodes_are_opened(tmp_path: Path) -> None:
    """PostScript, which Pillow gives to another program, is refused whatever its name says."""
    contents = {kind: _picture(kind) for kind in ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")}
    for kind, content in {**contents, "EPS": POSTSCRIPT, "huge": _wide_png(100_000), "ICO": _picture("ICO")}.items():
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "x.jpg").write_bytes(content)
        problems = Problems()
        listing = image_files.listing([folder], ["a"], problems)
        source = image_files.ImageFiles({"all": listing}, 3, 8, "remove it")
        pixels = source.part("all").read(np.array([0]))
        if kind in contents:
            source.card_facts()
            assert pixels.shape == (1, 3, 8, 8)
            continue
        told = "has more than 178 million pixels" if kind == "huge" else "cannot be read as an image"
        with pytest.raises(UserError, match=told):
            source.card_facts()


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("1")
    paths = [tmp_path / "a", tmp_path / "b"]
    read = FileStamps.read(paths)
    read.refuse_changed()
    (tmp_path / "b").write_text("2")  # as long as before
    with pytest.raises(DcpipeError, match=r"/b: was changed while it was read; nothing was published; wait"):
        read.refuse_changed()
    (tmp_path / "b").unlink()
    with pytest.raises(DcpipeError, match=r"/b: was removed while it was read"):
        read.refuse_changed()
