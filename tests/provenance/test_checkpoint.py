"""Laws of resume state: what was saved whole is what is loaded, and anything else counts as absent."""

import time
from pathlib import Path

import pytest
import torch

from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.state_folder import state_root

TENSORS = {
    "a": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "scalar": torch.tensor(0.1, dtype=torch.float64),
    "labels": torch.tensor([1, 2, 3]),
    "empty": torch.zeros(0, 4),
}
META = {"iteration": 3, "losses": [0.1, 1e-300, 2.0], "names": ["ä"], "none": None}


def _equal(found: tuple[dict[str, torch.Tensor], object] | None, tensors: dict[str, torch.Tensor]) -> bool:
    return (
        found is not None
        and found[0].keys() == tensors.keys()
        and all(
            torch.equal(found[0][name], tensor) and found[0][name].dtype == tensor.dtype
            for name, tensor in tensors.items()
        )
    )


def test_tensors_and_numbers_come_back_exactly(tmp_path: Path) -> None:
    ResumeState(tmp_path / "key").save("x", TENSORS, META)
    found = ResumeState(tmp_path / "key").load("x")
    assert _equal(found, TENSORS)
    assert found is not None
    assert found[1] == META


def test_tensors_that_share_memory_can_be_saved(tmp_path: Path) -> None:
    """Sets of several iterations share their labels, and views share their base's memory."""
    base = torch.arange(10.0)
    shared = {"one": base, "same": base, "view": base[2:5], "turned": base.view(2, 5).T}
    ResumeState(tmp_path).save("x", shared)
    assert _equal(ResumeState(tmp_path).load("x"), shared)


def test_saving_again_replaces_and_names_are_apart(tmp_path: Path) -> None:
    state = ResumeState(tmp_path)
    state.save("x", TENSORS, 1)
    state.save("y", {}, [2])
    state.save("x", {"a": TENSORS["a"] + 1}, 3)
    assert _equal(state.load("x"), {"a": TENSORS["a"] + 1})
    assert state.load("y") == ({}, [2])
    state.clear()
    assert state.load("x") is None
    state.clear()


def test_any_other_bytes_count_as_no_state(tmp_path: Path) -> None:
    state = ResumeState(tmp_path)
    assert state.load("x") is None
    state.save("x", {"a": TENSORS["a"]}, META)
    path = tmp_path / "x.state"
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        assert state.load("x") is None
        path.write_bytes(whole[:position])
        assert state.load("x") is None
    path.write_bytes(whole + b"x")
    assert state.load("x") is None


def test_a_state_is_due_when_so_many_seconds_have_passed_since_the_last(tmp_path: Path) -> None:
    assert ResumeState(tmp_path, every_seconds=0.0).is_due()
    assert not ResumeState(tmp_path, every_seconds=3600.0).is_due()
    state = ResumeState(tmp_path, every_seconds=3600.0, _last=-1e9)
    assert state.is_due()
    state.save("x", {})
    assert not state.is_due()


def test_a_job_that_goes_on_counts_the_seconds_of_the_runs_before(tmp_path: Path) -> None:
    first = ResumeState(tmp_path, _started=time.monotonic() - 100.0)
    assert first.seconds_before == 0.0
    first.save("x", {})
    first.save("x", {})
    second = ResumeState(tmp_path, _started=time.monotonic() - 10.0)
    assert 100.0 <= second.seconds_before < 105.0
    second.save("x", {})
    third = ResumeState(tmp_path)
    assert 110.0 <= third.seconds_before < 115.0
    third.clear()
    assert ResumeState(tmp_path).seconds_before == 0.0


@pytest.mark.parametrize("written", ["nan", "inf", "-1", "", "{}", "[" * 5000])
def test_seconds_that_cannot_be_are_none(tmp_path: Path, written: str) -> None:
    (tmp_path / "seconds").write_text(written)
    assert ResumeState(tmp_path).seconds_before == 0.0


def test_state_is_kept_below_the_root_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_root(tmp_path) == tmp_path / "state"
    monkeypatch.setenv("DCPIPE_STATE", str(tmp_path / "fast"))
    assert state_root(tmp_path) == tmp_path / "fast"
