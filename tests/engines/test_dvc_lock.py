"""dvc.lock: what `record` writes is, byte for byte, what DVC writes and `adopt` settles."""

from collections import OrderedDict
from pathlib import Path

import pytest

from dcpipe.engines import dvc_lock

STAGES = OrderedDict(
    {
        "b": OrderedDict(
            cmd="dcpipe data digits",
            params=OrderedDict(
                {
                    "params/x.yaml": OrderedDict(
                        tiny=1e-05, small=1.5e-07, half=0.5, large=1e22, whole=3.0, count=7, flag=True, none=None
                    )
                }
            ),
            outs=[OrderedDict(path="a/b.zarr", md5="0123.dir", size=12)],
        ),
        "a": OrderedDict(cmd="x", params={"p.yaml": OrderedDict(epochs="0-6,20", codec="none", words=["a", 1e-4])}),
    }
)


def test_the_same_bytes_whoever_wrote_the_lock(tmp_path: Path) -> None:
    serialize = pytest.importorskip("dvc.utils.serialize")
    ours, theirs = tmp_path / "ours.lock", tmp_path / "theirs.lock"
    dvc_lock.write_lock(ours, STAGES)
    serialize.dump_yaml(str(theirs), {"schema": "2.0", "stages": STAGES})
    assert ours.read_text() != theirs.read_text()  # DVC keeps the order in which stages ran
    dvc_lock.write_lock(theirs, dvc_lock.read_stages(theirs))
    assert ours.read_text() == theirs.read_text()
    assert serialize.load_yaml(str(ours)) == {"schema": "2.0", "stages": STAGES}


def test_an_unchanged_lock_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    dvc_lock.write_lock(path, STAGES)
    before = path.stat()
    dvc_lock.write_lock(path, dvc_lock.read_stages(path))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def test_no_lock_holds_no_stages(tmp_path: Path) -> None:
    assert dvc_lock.read_stages(tmp_path / "dvc.lock") == {}


def test_a_job_that_is_gone_from_the_dvc_yaml_leaves_the_lock(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: x\n  c:\n    cmd: y\n")
    path = tmp_path / "dvc.lock"
    dvc_lock.write_lock(path, STAGES)
    assert set(dvc_lock.read_stages(path)) == {"a", "b"}
    assert dvc_lock.current_stages(path) == {"a": dvc_lock.read_stages(path)["a"]}
