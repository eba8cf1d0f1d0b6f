"""Laws of `dcpipe plan`."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dcpipe.commands import plan
from dcpipe.errors import UserError
from dcpipe.workflow.graph import Graph


def test_a_plan_counts_what_is_to_run_and_refuses_what_does_not_fit(tiny: Path) -> None:
    shutil.rmtree(tiny / "artifacts/experts")
    found = plan.plan_rows(Graph(tiny), "tiny")
    waiting = {row.stage: row.to_run for row in found}
    assert waiting["data"] == 0
    assert waiting["experts"] == 2
    assert waiting["distill"] == 2, "what needs no experts is current"
    lines = plan.plan_lines(found, tiny)
    assert len({len(line) for line in lines[:-1]}) == 1, "columns are in line"
    plan.refuse_full_disk(found, tiny)
    with pytest.raises(UserError, match=r"up to 1000000000.0 GB will be written; .* GB are free; free some disk space"):
        plan.refuse_full_disk([*found, replace(found[0], disk_bytes=10**18)], tiny)
