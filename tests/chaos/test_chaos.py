"""The short form of `make chaos`: every kind once or a few times, and the faults that it must find."""

import signal
from pathlib import Path

import hurt_files
import hurt_processes
import hurt_words
import pytest
from bench import Bench, Kind, hear_signals

import chaos

pytestmark = pytest.mark.xdist_group("chaos")
FEW = {"power cut while publishing": 99, "hostile files": 99, "mutated params": 40, "mutated command lines": 20}


@pytest.fixture(scope="module")
def bench(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Random numbers that differ in nothing between two runs of the tests."""
    hear_signals()
    scratch = tmp_path_factory.mktemp("chaos")
    for folder in (scratch, *scratch.parents[:2]):
        folder.chmod(0o755)  # an ordinary user works in it
    return Bench.prepared(made, scratch, seed=0)


def test_every_kind_of_harm_is_survived(bench: Bench, subtests: pytest.Subtests) -> None:
    for name, (kind, share) in chaos.KINDS.items():
        with subtests.test(name=name):
            (row,) = chaos.hurt(bench, {name: (kind, share)}, seconds=600, most=FEW.get(name, 1))
            assert [trial.seen for trial in row.trials if trial.state != "survived"] == []
            assert row.trials


FAULTS: dict[str, tuple[Kind, int]] = {
    "fsync": (hurt_processes.power_cuts, 99),
    "size": (hurt_files.rot, 30),
    "signal": (hurt_processes.signals, 30),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    chaos.plant(fault, monkeypatch)
    kind, most = FAULTS[fault]
    assert any(trial.state != "survived" for trial, _ in zip(kind(bench), range(most), strict=False))


def test_what_a_planted_fault_ignored_is_heard_again() -> None:
    """It comes after them."""
    assert signal.SIG_IGN not in {signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}


def test_hostile_files_are_of_more_than_twelve_kinds() -> None:
    assert len(hurt_words.HOSTILE) > 12
