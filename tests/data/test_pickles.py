"""Laws of reading pickles: what numpy and PyTorch wrote comes back bit for bit, and nothing in a file ever runs."""

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dcpipe.data import pickled_arrays, torch_files
from dcpipe.errors import UserError

ARRAYS = {
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "large": np.linspace(0, 1, 5, dtype=">f4"),
    "none": np.zeros((0, 3), dtype=np.int64),
    "whether": np.array([True, False]),
}


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_numbers_and_lists_come_back_bit_for_bit(protocol: int, tmp_path: Path) -> None:
    written = {**ARRAYS, "names": ["a", "ü"], "of": (1, 2.5, None, True), "one": np.float32(0.1), "raw": b"\x00\xff"}
    (tmp_path / "file").write_bytes(pickle.dumps(written, protocol=protocol))
    read = pickled_arrays.read_pickle(tmp_path / "file", "-")
    assert isinstance(read, dict)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    assert read["one"] == float(np.float32(0.1))
    assert {name: read[name] for name in ("names", "of", "raw")} == {
        name: written[name] for name in ("names", "of", "raw")
    }


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    """As cPickle of Python 2 writes an array in a mapping: every text is of bytes."""
    content = b"\x01\x02\xfe\xff"
    program = (
        b"\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
        b"U\x01bq\x05\x87Rq\x06(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x07U\x02u1q\x08K\x00K\x01\x87Rq\x09"
        b"(K\x03U\x01|q\x0aNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04" + content + b"q\x0btb.."
    )
    program = program.replace(b"tb..", b"tbs.")
    (tmp_path / "file").write_bytes(program)
    read = pickled_arrays.read_pickle(tmp_path / "file", "-")
    assert isinstance(read, dict)
    assert read["data"].tolist() == [[1, 2], [254, 255]]


class _Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def _raw(program: bytes) -> Callable[[Path], bytes]:
    return lambda _: program


CRAFTED: dict[str, Callable[[Path], bytes]] = {
    "a call": lambda mark: pickle.dumps([_Runs(mark)]),
    "a call after arrays": lambda mark: pickle.dumps({**ARRAYS, "x": _Runs(mark)}, protocol=2),
    "an instance": lambda mark: f"(S'{mark}'\nios\nmkdir\n.".encode(),
    "an object": lambda mark: f"(cos\nmkdir\nS'{mark}'\no.".encode(),
    "a new object": _raw(b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85\x81."),
    "an extension": _raw(b"\x80\x02\x82\x01."),
    "a persistent name": _raw(b"Pxyz\n."),
    "objects in an array": lambda mark: pickle.dumps(np.array([_Runs(mark)], dtype=object)),
    "a name with dots": _raw(b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.fill\x93."),
    "a memo of 60 GB": _raw(b"\x80\x02]r\xff\xff\xff\x7f."),
    "bytes of 8 EB": _raw(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."),
    "a list in itself": _raw(b"]q\x00h\x00a."),
    "a billion lists": _raw(b"]q\x00" + b"".join(b"](" + b"h\x00" * 20 + b"eq\x00" for _ in range(12)) + b"."),
    "a shape without bytes": lambda _: pickle.dumps(ARRAYS["bytes"], protocol=2).replace(
        b"K\x02K\x03K\x04", b"K\x7fK\x7fK\x7f"
    ),
    "a torn file": lambda _: pickle.dumps(ARRAYS)[:-40],
    "an empty file": _raw(b""),
    "no pickle": _raw(b"hello"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_pickle_is_one_line_and_runs_nothing(name: str, tmp_path: Path) -> None:
    mark, file = tmp_path / "it-ran", tmp_path / "file"
    file.write_bytes(CRAFTED[name](mark))
    for read in (lambda: pickled_arrays.read_pickle(file, "fetch it"), lambda: torch_files.read_torch_file(file)):
        with pytest.raises(UserError, match=r"^[^\n]+no code in it was run; [^\n]+$") as caught:
            read()
        assert str(caught.value).startswith(f"{file}: is damaged, or ")
        assert not mark.exists()


def test_the_crafted_calls_would_run_where_anybody_unpickles_them(tmp_path: Path) -> None:
    for number, name in enumerate(("a call", "a call after arrays", "an instance", "an object", "objects in an array")):
        mark = tmp_path / str(number)
        pickle.loads(CRAFTED[name](mark))  # noqa: S301 (that is the point)
        assert mark.exists(), name


def test_tensors_and_numpys_numbers_come_back_from_both_forms(tmp_path: Path) -> None:
    written = {"data": [[torch.arange(6.0).view(2, 3), torch.tensor([1, 0])]], "accs": {"ConvNet": [np.float64(0.25)]}}
    for form in (True, False):
        torch.save(written, tmp_path / "file.pt", _use_new_zipfile_serialization=form)
        read = torch_files.read_torch_file(tmp_path / "file.pt")
        assert isinstance(read, dict)
        images, labels = read["data"][0]
        assert torch.equal(images, written["data"][0][0])
        assert torch.equal(labels, written["data"][0][1])
        assert read["accs"] == {"ConvNet": [0.25]}
        assert [tensor.shape for tensor in torch_files.tensors_in(read)] == [(2, 3), (2,)]


def _growing() -> Iterator[tuple[str, Callable[[Path], None]]]:
    yield "a stride of 0", lambda path: torch.save(torch.zeros(1).expand(10**12), path)

    def compressed(path: Path) -> None:
        torch.save(torch.zeros(10**6), path)
        with (
            zipfile.ZipFile(path) as whole,
            zipfile.ZipFile(path.with_suffix(".z"), "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for one in whole.namelist():
                packed.writestr(one, whole.read(one))
        path.with_suffix(".z").rename(path)

    yield "compressed entries", compressed

    def enlarged(path: Path) -> None:
        """Says a larger size than its numbers have."""
        torch.save(torch.zeros(16), path, _use_new_zipfile_serialization=False)
        content = path.read_bytes()
        assert content.count(b"K\x10\x85") == 1
        path.write_bytes(content.replace(b"K\x10\x85", b"J\x00\x00\x00\x10\x85"))

    yield "a size without numbers", enlarged


GROWING = dict(_growing())


@pytest.mark.parametrize("name", GROWING)
def test_a_file_that_declares_more_than_it_has_is_refused(name: str, tmp_path: Path) -> None:
    GROWING[name](tmp_path / "file.pt")
    with pytest.raises(UserError, match=r"file\.pt: is damaged, or contains something other than lists of tensors; "):
        torch_files.read_torch_file(tmp_path / "file.pt")


def test_views_of_one_tensor_count_once(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    torch.save([whole[:6], whole[6:], whole], tmp_path / "file.pt")
    read = torch_files.read_torch_file(tmp_path / "file.pt")
    assert isinstance(read, list)
    assert torch.equal(torch.cat(read[:2]), whole)
