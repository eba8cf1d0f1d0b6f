"""Laws of what jobs cost: what was measured comes back, and a file that cannot be right counts as not measured."""

from pathlib import Path

import pytest

import repository
from dcpipe.workflow import costs, machine
from dcpipe.workflow.graph import Graph

ROTTEN = ["", "{}", "[" * 5000, "nan", "[1]", '{"seconds": 1}', '{"seconds": NaN, "peak_bytes": 1, "device": "cpu"}']
ROTTEN += ['{"seconds": -1, "peak_bytes": 1, "device": "cpu"}', '{"seconds": 1, "peak_bytes": "much", "device": "cpu"}']


def test_what_was_measured_comes_back(tmp_path: Path) -> None:
    costs.write_costs(tmp_path / "a.json", seconds=1.5, peak_bytes=7, device="cpu", cpu_seconds=1.25)
    assert costs.measured_costs(tmp_path / "a.json") == costs.MeasuredCosts(1.5, 7, "cpu")


@pytest.mark.parametrize("rotten", ROTTEN, ids=range(len(ROTTEN)))
def test_a_rotten_file_of_costs_counts_as_not_measured(tmp_path: Path, rotten: str) -> None:
    (tmp_path / "a.json").write_text(rotten)
    assert costs.measured_costs(tmp_path / "a.json") is None


@pytest.mark.parametrize("rotten", ["[" * 5000, "{}", '{"x": 1}'])
def test_a_rotten_file_of_the_machine_counts_as_not_measured(tmp_path: Path, rotten: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / machine.FILE).write_text(rotten)
    assert not machine.load_machine(tmp_path).is_measured


@pytest.mark.parametrize("rotten", [ROTTEN[2], ROTTEN[6]], ids=["nested", "nan"])
def test_plan_and_report_say_what_they_say_without_costs(tiny: Path, rotten: str) -> None:
    for job in Graph(tiny).experiment_jobs("tiny"):
        if not job.is_view:
            (tiny / job.costs_path).write_text(rotten)
    for command in (("plan", "tiny"), ("status", "tiny"), ("report", "tiny"), ("doctor", "tiny")):
        code, said = repository.dcpipe(tiny, *command)
        assert code in {0, 1}, said
        assert "Traceback" not in said
