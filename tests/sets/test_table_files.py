"""Tables that strangers made: what they hold comes back, and what unpacks to far more than a file has is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.data.foreign import table_files
from dcpipe.data.foreign.image_layouts import read_huggingface
from dcpipe.data.foreign.table_files import column_to_tensor, read_tables
from dcpipe.errors import UserError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def _written(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_nested_lists_come_back_as_they_were(tmp_path: Path) -> None:
    images = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    path = _written(
        tmp_path / "a.parquet",
        tensor=pa.array(images.tolist(), pa.list_(pa.list_(pa.list_(pa.float32())))),
        label=[2, 0, 1],
    )
    table = read_tables([path], ("tensor", "label", "absent"))
    assert torch.equal(column_to_tensor(table.column("tensor"), "x"), images)
    assert column_to_tensor(table.column("label"), "x").tolist() == [2, 0, 1]


def test_files_one_after_the_other_are_one_table(tmp_path: Path) -> None:
    paths = [_written(tmp_path / f"{one}.parquet", label=[one, one]) for one in range(3)]
    assert column_to_tensor(read_tables(paths, ["label"]).column("label"), "x").tolist() == [0, 0, 1, 1, 2, 2]


def test_an_arrow_stream_is_read_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"label": list(range(5)), "other": ["x"] * 5})
    with pa.ipc.new_stream(str(tmp_path / "data.arrow"), table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    found = read_tables([tmp_path / "data.arrow"], ["label"])
    assert column_to_tensor(found.column("label"), "x").tolist() == [0, 1, 2, 3, 4]
    assert found.column_names == ["label"]
    monkeypatch.setattr(table_files, "MAX_ROWS", 3)
    with pytest.raises(UserError, match="has 4 rows"):
        read_tables([tmp_path / "data.arrow"], ["label"])


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ([[1.0], [1.0, 2.0]], "holds rows of several shapes"),
        ([[1.0], None], "lacks numbers in some rows"),
        ([[1.0], [None]], "lacks numbers in some rows"),
        (["a", "b"], "holds string where numbers should be"),
    ],
    ids=["ragged", "no row", "no number", "text"],
)
def test_what_is_not_an_array_of_numbers_is_refused(tmp_path: Path, column: list[object], problem: str) -> None:
    path = _written(tmp_path / "a.parquet", tensor=column)
    with pytest.raises(UserError, match=problem):
        column_to_tensor(read_tables([path], ["tensor"]).column("tensor"), "x")


def _many_rows(path: Path) -> None:
    parquet.write_table(pa.table({"label": pa.array([0]).take(pa.array([0] * (table_files.MAX_ROWS + 1)))}), path)


def _long_rows(path: Path) -> None:
    """Rows of a hundred million equal numbers take some kilobytes."""
    values = pa.DictionaryArray.from_arrays(pa.nulls(10**8, pa.int8()).fill_null(0), pa.array([1.0])).cast(pa.float32())
    parquet.write_table(pa.table({"tensor": pa.ListArray.from_arrays([0, 10**8], values)}), path)


def _one_text_in_every_row(path: Path) -> None:
    """A text of a megabyte in a dictionary, and a hundred thousand rows that name it."""
    codes = pa.nulls(10**5, pa.int32()).fill_null(0)
    parquet.write_table(pa.table({"image": pa.DictionaryArray.from_arrays(codes, pa.array([b"a" * 2**20]))}), path)


@pytest.mark.parametrize("bomb", [_many_rows, _long_rows, _one_text_in_every_row], ids=lambda one: one.__name__)
def test_what_unpacks_to_far_more_is_refused_in_little_memory(tmp_path: Path, bomb, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(table_files, "MAX_BYTES", 2**26)
    bomb(tmp_path / "train.parquet")
    assert (tmp_path / "train.parquet").stat().st_size < 2**22
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "import pyarrow.parquet, torch\n"
        "from dcpipe.data.foreign import table_files\n"
        "from dcpipe.errors import UserError\n"
        "table_files.MAX_BYTES = 2**26\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    table_files.read_tables([Path(sys.argv[1])], ['label', 'tensor', 'image'])\n"
        "    said = 'read'\n"
        "except UserError as error:\n"
        "    said = str(error)\n"
        "print(said)\n"
        "print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "train.parquet")]
    environment = {"PYTHONPATH": str(repository.ROOT / "src"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=environment)
    said, grown = done.stdout.splitlines()
    assert "1 to a million images, at most 2 GiB" in said
    assert int(grown) < 5 * 2**26


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = _written(tmp_path / "train.parquet", label=[1, 2])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read") as error:
        read_tables([path], ["label"])
    assert "\n" not in str(error.value)


def test_a_table_without_labels_says_so(tmp_path: Path) -> None:
    _written(tmp_path / "train.parquet", tensor=[[[[0.0]]]])
    with pytest.raises(UserError, match="has no column of labels"):
        read_huggingface(tmp_path)


def test_the_class_names_of_datasets_are_kept(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"tensor": [[[[0.0]]], [[[1.0]]]], "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, tmp_path / "train.parquet")
    assert read_huggingface(tmp_path).sets[0].classes == ("cat", "dog")
