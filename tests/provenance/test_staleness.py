"""Laws of provenance: from its card alone an artifact is known to be its job's, or what it lacks is named."""

import shutil
from pathlib import Path

import pytest

import repository
from dcpipe.provenance.staleness import staleness_problem
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job


def _distill(root: Path) -> Job:
    return Graph(root).make_job("distill", **repository.CELL)


def test_every_artifact_of_a_run_is_its_jobs(made: Path) -> None:
    for job in Graph(made).experiment_jobs("tiny"):
        if not job.is_view:
            assert staleness_problem(job, made) is None


EDITS = {
    "methods/mtt.yaml": ("seed", 1, "params (params/methods/mtt.yaml seed: 0, now 1)"),
    "experts/plain.yaml": ("network", "convnet2-w16", "params (params/datasets/tiny.yaml network: "),
}


@pytest.mark.parametrize("file", EDITS)
def test_a_changed_param_is_named(file: str, tiny: Path) -> None:
    key, value, told = EDITS[file]
    repository.set_params(tiny, file, {key: value})
    problem = str(staleness_problem(_distill(tiny), tiny))
    assert f"artifacts/synthetic/tiny/mtt/ipc1/set0: was made with other {told}" in problem


def test_another_input_is_named_and_another_pin_too(tiny: Path) -> None:
    repository.set_params(tiny, "experts/plain.yaml", {"seed": 5})
    repository.make(tiny, "experts", dataset="tiny", experts="plain", shard=1)
    assert "was made with other inputs (trajectories 1 digest: " in str(staleness_problem(_distill(tiny), tiny))
    repository.make(tiny, "distill", **repository.CELL)
    assert staleness_problem(_distill(tiny), tiny) is None
    text = (tiny / "constraints.txt").read_text()
    (tiny / "constraints.txt").write_text(text.replace("torch==", "torch==9."))
    assert "was made with other code (" in str(staleness_problem(_distill(tiny), tiny))


def test_what_alters_no_byte_of_a_job_is_no_problem(tiny: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {"label": "another label", "description": "another"})
    repository.set_params(tiny, "evaluations/digits.yaml", {"seed": 4})
    assert staleness_problem(_distill(tiny), tiny) is None


def test_a_missing_damaged_or_misplaced_artifact_is_named(tiny: Path) -> None:
    folder = tiny / _distill(tiny).folder
    (folder / "history.csv").write_text("x")
    assert "history.csv: has 1 bytes instead of" in str(staleness_problem(_distill(tiny), tiny))
    shutil.rmtree(folder)
    assert "synthetic.safetensors: does not exist" in str(staleness_problem(_distill(tiny), tiny))
    shutil.copytree(folder.parents[1] / "ipc2/set0", folder)
    assert "was made with other job (ipc: 2, now 1)" in str(staleness_problem(_distill(tiny), tiny))
