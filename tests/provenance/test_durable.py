"""Laws of writing: whole or not at all, on the disk before it has its name, and nothing left beside it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import repository
import small_disk
from dcpipe.data import arrays
from dcpipe.errors import DcpipeError
from dcpipe.provenance import artifact, durable


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_dead_process_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "0"])
    ended.wait()
    own = durable.temporary_path(tmp_path / "x").name
    prefix, pid = own.rsplit("-", 2)[0], str(ended.pid)
    dead = [f"{prefix}-{pid}-x", f"{durable.TEMPORARY_PREFIX}{pid}-as-older-versions-wrote-it"]
    kept = [
        own,
        f"{prefix}-1-of-a-living-process",
        f"{durable.TEMPORARY_PREFIX}00000000-{pid}-of-another-machine",
        f"{durable.TEMPORARY_PREFIX}tried",
        "mine",
    ]
    for name in (*dead, *kept):
        (tmp_path / name).mkdir() if name == dead[0] else (tmp_path / name).write_text("x")
    (tmp_path / dead[0] / "inner").write_text("x")
    durable.write_atomically(tmp_path / "new", b"")
    assert _names(tmp_path) == sorted([*kept, "new"])


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("older")
    with small_disk.mounted(tmp_path / "disk", "size=64k"):
        durable.write_atomically(tmp_path / "disk/file", b"older")
        small_disk.fill(tmp_path / "disk")
        with pytest.raises(OSError, match="No space left on device") as caught:
            durable.write_atomically(tmp_path / "disk/file", bytes(8192))
        assert durable.is_full_disk(caught.value)
        assert _names(tmp_path / "disk") == ["file", "filled"]
        assert (tmp_path / "disk/file").read_bytes() == b"older"


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda place: (place / "x").write_bytes(bytes(100_000)),
    "text": lambda place: (place / "x").write_text("x" * 100_000),
    "zarr": lambda place: arrays.write_rows(place, "x", np.random.default_rng(0).random(20_000), chunk_rows=20_000),
    "safetensors": lambda place: save_file({"x": torch.rand(20_000)}, place / "x"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_as_one_whoever_writes(name: str, tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path / "disk", "size=32k"):
        told = f"{tmp_path}/disk: the disk is full; nothing was published; free some space, then"
        with (
            pytest.raises(DcpipeError, match=told),
            durable.explaining_full_disk([tmp_path, tmp_path / "disk/deeper"], "nothing was published"),
        ):
            WRITERS[name](tmp_path / "disk")


def test_another_error_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), durable.explaining_full_disk([tmp_path], ""):
        (tmp_path / "nowhere/x").write_bytes(b"")


def test_every_byte_and_name_is_on_the_disk_before_the_card_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the calls: all files and folders of a payload, then its name, then the card."""
    calls = list[tuple[str, str]]()
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        calls.append(("fsync", os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path)))
        fsync(handle)

    def noted_replace(old: Path, new: Path) -> None:
        calls.append(("replace", os.path.relpath(new, tmp_path)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with artifact.draft_artifact(tmp_path / "a") as draft:
        place = draft.path("t.zarr")
        arrays.write_rows(place, "x", np.arange(4), chunk_rows=2)
        draft.publish({})
    temporary = f"a/{place.name}"
    written = {name for name in repository.bytes_below(tmp_path / "a") if name != "card.json"}
    flushed = [name.replace(temporary, "a/t.zarr") for kind, name in calls if kind == "fsync"]
    renamed = calls.index(("replace", "a/t.zarr"))
    carded = calls.index(("replace", "a/card.json"))
    assert {f"a/{name}" for name in written} <= set(flushed[:renamed])
    folders = {f"a/{parent}" for name in written for parent in Path(name).parents if str(parent) != "."}
    assert folders <= set(flushed[:renamed])
    assert renamed < carded
    assert [kind for kind, name in calls[:carded] if kind == "fsync" and "card.json" in name] == ["fsync"]
    assert calls[-1] == ("fsync", "a")
