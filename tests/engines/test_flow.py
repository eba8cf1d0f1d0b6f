"""Laws of what the rules ask for: a process of one job is given what the first process was, and makes nothing else."""

from pathlib import Path

import pytest

import repository
from dcpipe.engines.snakemake import Flow
from dcpipe.errors import UserError
from dcpipe.graph import Graph

EXPERIMENT = {"experiment": "tiny"}


def of_rule(stage: str, wildcards: dict[str, str]) -> dict[str, str]:
    """The wildcards as a rule has them: the paths of views hold none."""
    return {} if stage == "report" else wildcards


def test_a_process_of_one_job_is_told_the_same_of_each() -> None:
    whole, jobs = Flow(EXPERIMENT, repository.ROOT), Graph(repository.ROOT).jobs("tiny")
    assert {job.stage for job in jobs} == {"data", "experts", "distill", "evaluate", "metrics", "report"}
    for job in jobs:
        wildcards = of_rule(job.stage, dict(job.wildcards))
        alone = Flow(EXPERIMENT, repository.ROOT, whole=False)
        for asked in (whole, alone):
            assert asked.job(job.stage, wildcards) == job
            assert asked.values(job.stage)(wildcards) == whole.values(job.stage)(wildcards)


def test_a_process_of_one_job_makes_the_jobs_below_it_and_no_others() -> None:
    alone = Flow(EXPERIMENT, repository.ROOT, whole=False)
    assert alone._graph._jobs == {}
    alone.job("experts", {"dataset": "tiny", "experts": "plain", "shard": "1"})
    assert {stage for stage, _ in alone._graph._jobs} == {"data", "experts"}


def test_only_the_first_process_brings_code_identity_up_to_date(tmp_path: Path) -> None:
    root = repository.copy_params(tmp_path)
    file = root / "code_identity.yaml"
    right = file.read_bytes()
    stale = right.replace(b"\n  sgd: h", b"\n  sgd: hff")
    assert stale != right
    file.write_bytes(stale)
    Flow(EXPERIMENT, root, whole=False)
    assert file.read_bytes() == stale
    Flow(EXPERIMENT, root)
    assert file.read_bytes() == right


def test_the_first_process_refuses_a_job_of_another_experiment() -> None:
    words = {"dataset": "digits", "method": "random", "ipc": "1", "set": "0"}
    with pytest.raises(UserError, match="no such job"):
        Flow(EXPERIMENT, repository.ROOT).job("distill", words)
