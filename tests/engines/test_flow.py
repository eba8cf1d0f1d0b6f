"""Laws of what the rules ask for: a process of one job is given what the first process was, and makes nothing else."""

import json
from pathlib import Path

import pytest

import repository
from dcpipe.engines import snakemake
from dcpipe.engines.snakemake import SnakemakeRules
from dcpipe.errors import UserError
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

EXPERIMENT = {"experiment": "tiny"}


def of_rule(stage: str, wildcards: dict[str, str]) -> dict[str, str]:
    """The wildcards as a rule has them: the paths of views hold none."""
    return {} if stage == "report" else wildcards


def given(flow: SnakemakeRules, job: Job) -> set[str | None]:
    """What Snakemake compares with its record: the set of a job's params."""
    wildcards = of_rule(job.stage, dict(job.wildcards))
    return {flow.command(job.stage)(wildcards), *(ask(wildcards) for ask in flow.param_values(job.stage))}


def test_what_can_alter_a_job_is_in_its_params_each_value_alone() -> None:
    flow, jobs = (
        SnakemakeRules({"experiment": "digits-all"}, repository.ROOT),
        Graph(repository.ROOT).experiment_jobs("digits-all"),
    )
    for job in jobs:
        values = {
            f"{file}: {key} = {json.dumps(value)}" for file, own in job.params.items() for key, value in own.items()
        }
        assert given(flow, job) == {None, job.command} | values


@pytest.mark.parametrize("most", [1, 2, 10, 200])
def test_however_many_values_are_told_one_by_one_none_is_lost(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(snakemake, "MAX_VALUES", most)
    job = Graph(repository.ROOT).make_job("distill", dataset="tiny", method="mtt", ipc=1, set=0)
    whole = given(SnakemakeRules(EXPERIMENT, repository.ROOT), job)
    assert given(SnakemakeRules(EXPERIMENT, repository.ROOT, plans_all_jobs=False), job) == whole
    assert len(whole) <= most + 2
    text = "; ".join(filter(None, whole))
    assert all(f"{file}: {key} = " in text for file, values in job.params.items() for key in values)


def test_a_process_of_one_job_is_told_the_same_of_each() -> None:
    whole, jobs = SnakemakeRules(EXPERIMENT, repository.ROOT), Graph(repository.ROOT).experiment_jobs("tiny")
    assert {job.stage for job in jobs} == {"data", "experts", "distill", "evaluate", "metrics", "report"}
    for job in jobs:
        wildcards = of_rule(job.stage, dict(job.wildcards))
        alone = SnakemakeRules(EXPERIMENT, repository.ROOT, plans_all_jobs=False)
        for asked in (whole, alone):
            assert asked.job(job.stage, wildcards) == job
            assert given(asked, job) == given(whole, job)


def test_a_process_of_one_job_makes_the_jobs_below_it_and_no_others() -> None:
    alone = SnakemakeRules(EXPERIMENT, repository.ROOT, plans_all_jobs=False)
    assert alone._graph._jobs == {}
    alone.job("experts", {"dataset": "tiny", "experts": "plain", "shard": "1"})
    assert {stage for stage, _ in alone._graph._jobs} == {"data", "experts"}


def test_only_the_first_process_brings_code_identity_up_to_date(tmp_path: Path) -> None:
    root = repository.copy_params(tmp_path)
    file = root / "code_identity.yaml"
    right = file.read_bytes()
    stale = right.replace(b" sgd: h", b" sgd: hff")
    assert stale != right
    file.write_bytes(stale)
    SnakemakeRules(EXPERIMENT, root, plans_all_jobs=False)
    assert file.read_bytes() == stale
    SnakemakeRules(EXPERIMENT, root)
    assert file.read_bytes() == right


def test_the_first_process_refuses_a_job_of_another_experiment() -> None:
    words = {"dataset": "digits", "method": "random", "ipc": "1", "set": "0"}
    with pytest.raises(UserError, match="no such job"):
        SnakemakeRules(EXPERIMENT, repository.ROOT).job("distill", words)


def test_a_job_of_two_experiments_has_the_same_params_in_both() -> None:
    graph = Graph(repository.ROOT)
    one, other = ({job.name: job for job in graph.experiment_jobs(name)} for name in ("digits", "digits-all"))
    shared = [name for name in one if name in other]
    assert len(shared) > 80
    flows = (
        SnakemakeRules({"experiment": "digits"}, repository.ROOT),
        SnakemakeRules({"experiment": "digits-all"}, repository.ROOT),
    )
    for name in shared:
        assert given(flows[0], one[name]) == given(flows[1], other[name])


@pytest.mark.parametrize(
    ("file", "key", "expected"),
    [
        ("methods/mtt.yaml", "label", ["report_tiny"]),
        ("experiments/tiny.yaml", "title", ["report_tiny"]),
        ("methods/mtt.yaml", "description", []),  # the page does not show it
    ],
)
def test_what_is_only_shown_alters_the_report_alone(tmp_path: Path, file: str, key: str, expected: list[str]) -> None:
    root = repository.copy_params(tmp_path)
    before = {job.name: job.params for job in Graph(root).experiment_jobs("tiny")}
    repository.set_params(root, file, {key: "Something else"})
    after = {job.name: job.params for job in Graph(root).experiment_jobs("tiny")}
    assert [name for name in before if after[name] != before[name]] == expected
