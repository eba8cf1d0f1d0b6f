"""Laws of rehearsals: a linear cost is found again, hours add up, and nothing of the repository is touched."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.commands.rehearsal import job_kinds, rehearsal_table, rehearse
from dcpipe.commands.rehearsal.inner_steps import InnerStepCounts, inner_step_counts, with_inner_steps
from dcpipe.commands.rehearsal.job_kinds import JobKind
from dcpipe.commands.rehearsal.rehearse import RehearsalResult
from dcpipe.distillation.matching.trajectory_config import TrajectoryMatchingConfig
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

EXPERIMENT = """
title: A test
description: A test.
runs:
  - datasets: [tiny]
    methods: [%s]
    ipc: [1]
    sets: 2
    evaluations: [%s]
    networks: [native]
"""


def _experiment(root: Path, methods: str, evaluations: str = "digits") -> Graph:
    (root / "params/experiments/one.yaml").write_text(EXPERIMENT % (methods, evaluations))
    return Graph(root)


def _run(graph: Graph) -> list[RehearsalResult]:
    return list(rehearse.rehearse_kinds(graph, job_kinds.find_job_kinds(graph, "one"), steps=1, in_child=False))


def _kind(graph: Graph, stage: str) -> JobKind:
    (found,) = [kind for kind in job_kinds.find_job_kinds(graph, "one") if kind.job.stage == stage]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "methods",
    ["mct", "tesla-soft", "satm-da", "gm-mdo", "dm", "cafe-dsa"],
)
def test_every_family_can_be_tried_without_data(root: Path, methods: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "SHORT_SECONDS", 0.0)  # a few steps are enough where no time is answer
    before = repository.bytes_below(root)
    found = _run(_experiment(root, methods))
    assert [one.problem for one in found] == [None] * len(found)
    assert {one.stage for one in found} >= {"distill", "evaluate"}
    assert all(one.peak_bytes > 0 and one.seconds_per_job > 0 for one in found)
    after = repository.bytes_below(root)
    assert after.keys() - before.keys() == {"params/experiments/one.yaml"}


def test_the_rate_of_a_linear_cost_is_found_and_its_constant_counts_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, a_step = 7.0, 0.25
    monkeypatch.setattr(rehearse, "_measured_cost", lambda _job, _root, steps: (once + a_step * steps, 10 * steps))
    monkeypatch.setattr(rehearse, "_measure_seconds_per_image", lambda _job, _root: 0.0)
    graph = _experiment(root, "mtt")
    for kind, one in zip(job_kinds.find_job_kinds(graph, "one"), _run(graph), strict=True):
        assert one.seconds_per_step == pytest.approx(a_step * kind.size.share)
        assert one.seconds_once == pytest.approx(once)
        assert one.seconds_per_job == pytest.approx(once + a_step * kind.size.share * kind.size.steps)
        assert one.peak_bytes == 110  # of the longer run: one step more took too short


def _inner_steps(job: Job) -> int:
    method = job.sections.get("method")
    return (
        method.matching.inner_steps
        if isinstance(method, Method) and isinstance(method.matching, TrajectoryMatchingConfig)
        else 0
    )


@pytest.mark.parametrize("inner", [5, 12, 13, 60])
def test_many_inner_steps_are_told_from_fewer(root: Path, monkeypatch: pytest.MonkeyPatch, inner: int) -> None:
    once, a_step, an_inner_step, tried = 7.0, 0.25, 0.5, set()

    def cost(job: Job, _root: Path, steps: int) -> tuple[float, int]:
        tried.add(_inner_steps(job))
        return once + steps * (a_step + an_inner_step * _inner_steps(job)), 100 + 3 * _inner_steps(job)

    monkeypatch.setattr(rehearse, "_measured_cost", cost)
    graph = _experiment(root, "mtt")
    repository.set_params(root, "methods/mtt.yaml", {"overrides.tiny.matching.inner_steps": inner})
    (found,) = [one for one in _run(Graph(graph.root)) if one.stage == "distill"]
    assert found.seconds_per_step == pytest.approx(a_step + an_inner_step * inner)
    assert found.seconds_once == pytest.approx(once)
    assert found.peak_bytes == 100 + 3 * inner
    assert max(tried) == min(inner, 12)


def test_inner_steps_that_are_soon_done_are_all_tried(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def cost(job: Job, _root: Path, steps: int) -> tuple[float, int]:
        tried.append(_inner_steps(job))
        return 7.0 + steps * 0.01 * _inner_steps(job) ** 2, 100

    monkeypatch.setattr(rehearse, "_measured_cost", cost)
    monkeypatch.setattr(rehearse, "SOON_SECONDS", 50.0)
    graph = _experiment(root, "mtt")
    repository.set_params(root, "methods/mtt.yaml", {"overrides.tiny.matching.inner_steps": 60})
    (found,) = [one for one in _run(Graph(graph.root)) if one.stage == "distill"]
    assert found.seconds_per_step == pytest.approx(36.0)
    assert 60 in tried
    assert 12 not in tried


def test_noise_makes_no_cost_negative_and_no_peak_smaller(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(job: Job, _root: Path, steps: int) -> tuple[float, int]:
        return 100.0 + steps * (30.0 - _inner_steps(job)), 1000 - 3 * _inner_steps(job)

    monkeypatch.setattr(rehearse, "_measured_cost", cost)
    graph = _experiment(root, "mtt")
    repository.set_params(root, "methods/mtt.yaml", {"overrides.tiny.matching.inner_steps": 60})
    (found,) = [one for one in _run(Graph(graph.root)) if one.stage == "distill"]
    assert found.seconds_per_step == pytest.approx(30.0 - 12)  # that of the longer student, and not -30
    assert found.peak_bytes == 1000 - 3 * 6


def test_the_shares_of_short_students_are_those_of_long_ones(root: Path) -> None:
    shared = {"matching.hypergradient.kept": "3/8", "outer.sharpness.second_pass.steps": "1/3"}
    repository.set_params(root, "methods/satm.yaml", {f"overrides.tiny.{key}": value for key, value in shared.items()})
    repository.set_params(root, "methods/satm.yaml", {"overrides.tiny.matching.inner_steps": 49})
    job = _kind(_experiment(root, "satm"), "distill").job
    assert inner_step_counts(job) == InnerStepCounts(24, 48, 49)
    assert _inner_steps(with_inner_steps(job, 24)) == 24
    repository.set_params(root, "methods/satm.yaml", {"overrides.tiny.matching.inner_steps": 48})
    assert inner_step_counts(_kind(Graph(root), "distill").job) == InnerStepCounts(48, 48, 48)


def test_steps_are_those_of_the_real_job(root: Path) -> None:
    graph = _experiment(root, "mtt")
    experts, distill, evaluate = job_kinds.find_job_kinds(graph, "one")
    assert (experts.jobs, distill.jobs, evaluate.jobs) == (2, 2, 2)  # shards, sets, scores of sets
    assert experts.size.steps == 4  # epochs of the one expert of a shard
    assert distill.size.steps == 6
    assert evaluate.size.steps == 2 * 21  # networks, and E + 1 epochs
    assert evaluate.size.tested == 2 * 240  # networks, and test images
    with_more = _kind(_experiment(root, "mtt", "digits-legacy-max"), "evaluate").size
    sets = with_more.steps / evaluate.size.steps
    assert sets == with_more.tested / evaluate.size.tested > 1
    searched = _kind(_experiment(root, "mtt", "digits-searched"), "evaluate").size
    assert (searched.steps, searched.tested) == (5 * evaluate.size.steps, evaluate.size.tested)
    whole = _kind(_experiment(root, "whole"), "evaluate")
    assert (whole.name, whole.size.per_class) == ("evaluate tiny all-images digits native", 16)  # a batch holds them


def test_an_epoch_of_all_images_is_as_long_as_it_has_more_of_them(root: Path) -> None:
    repository.set_params(root, "experts/plain.yaml", {"overrides.tiny.batch": 20})
    size = _kind(_experiment(root, "mtt"), "experts").size
    assert size.per_class == 4  # two batches of ten classes
    assert size.share == 16 / 4


def test_a_dataset_of_unknown_size_is_not_taken_for_a_small_one(root: Path) -> None:
    source = {"kind": "folder", "name": "own", "classes": 10, "channels": 1, "image_size": 8, "digest": None}
    repository.set_params(root, "datasets/tiny.yaml", {"source": source, "split.train_per_class": None})
    with pytest.raises(UserError, match=r"^params/datasets/tiny\.yaml: split\.train_per_class: the number of images"):
        job_kinds.find_job_kinds(_experiment(root, "mtt"), "one")
    repository.set_params(root, "methods/dc.yaml", {"overrides.tiny.matching.real_batch": 9})
    assert _kind(_experiment(root, "dc"), "distill").size.per_class == 9


def test_sets_of_one_size_are_evaluated_alike_coresets_not_rehearsed(root: Path) -> None:
    found = job_kinds.find_job_kinds(_experiment(root, "random, mtt, dc, herding"), "one")
    assert [(kind.name, kind.jobs) for kind in found if kind.job.stage == "evaluate"] == [
        ("evaluate tiny ipc1 digits native", 8)
    ]
    assert [kind.name for kind in found if kind.job.stage == "distill"] == [
        "distill tiny mtt ipc1",
        "distill tiny dc ipc1",
    ]


def test_more_devices_never_take_longer_nor_less_than_the_longest_jobs() -> None:
    rows = [
        RehearsalResult("a", "experts", 20, 100, 3.6),
        RehearsalResult("b", "distill", 5, 10, 360.0, 36.0),
        RehearsalResult("c", "distill", 1, 10, 3600.0),
        RehearsalResult("d", "evaluate", 6, 1, problem="x"),
    ]
    hours = [rehearsal_table.hours_on(rows, count) for count in (1, 2, 8, 64, 10**6)]
    assert hours[0] == pytest.approx((20 * 360 + 5 * 3636 + 36000) / 3600)
    assert hours == sorted(hours, reverse=True)
    assert hours[1] >= hours[0] / 2
    assert hours[-1] == pytest.approx((360 + 36000) / 3600)


def test_a_kind_that_cannot_be_tried_says_why_and_the_rest_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rehearse._measured_cost

    def fails(job: Job, root: Path, steps: int) -> tuple[float, int]:
        if job.stage == "distill":
            raise UserError("no room", remedy="make some")
        return real(job, root, steps)

    monkeypatch.setattr(rehearse, "_measured_cost", fails)
    found = _run(_experiment(root, "mtt"))
    kinds = job_kinds.find_job_kinds(Graph(root), "one")
    text = "\n".join(
        [
            rehearsal_table.table_head(kinds),
            *(rehearsal_table.kind_line(one, kinds) for one in found),
            *rehearsal_table.total_lines(found, 10**9, (1, 8)),
        ]
    )
    assert "distill tiny mtt ipc1 2 6 not tried: no room; make some" in " ".join(text.split())
    assert text.endswith("1 GB of artifacts at most\nwithout distill tiny mtt ipc1")
    answer = json.loads(rehearsal_table.rehearsal_json(found, 10**9, (1, 8)))
    assert set(answer["hours"]) == {"1", "8"}
    assert [replace(one) for one in found] == [RehearsalResult(**one) for one in answer["kinds"]]


@pytest.mark.slow
def test_a_process_apart_tells_the_same_and_holds_nothing_of_another(root: Path) -> None:
    graph = _experiment(root, "mtt")
    ballast = b"x" * 10**9
    kinds = [_kind(graph, "distill")]
    (here,), (apart,) = (rehearse.rehearse_kinds(graph, kinds, steps=1, in_child=way) for way in (False, True))
    assert (here.kind, here.steps, here.problem) == (apart.kind, apart.steps, apart.problem)
    assert 0 < apart.peak_bytes < here.peak_bytes - len(ballast) / 2


def _ended(*_: object) -> None:
    os._exit(1)


@pytest.mark.slow
def test_a_process_that_the_system_ends_is_named_and_the_next_is_tried(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearse, "_rehearse_or_explain", _ended)
    graph = _experiment(root, "mtt")
    kinds = job_kinds.find_job_kinds(graph, "one")[:2]
    found = list(rehearse.rehearse_kinds(graph, kinds, steps=1))
    assert len(found) == 2
    assert {one.problem for one in found} == {"the system killed its process; there may be too little memory"}


def _slow_to_leave(_: object, kind: JobKind, __: int, ___: Path) -> RehearsalResult:
    def leave() -> None:
        time.sleep(0.5)
        Path(os.environ["LEFT"]).touch()

    Finalize(None, leave, exitpriority=0)
    return RehearsalResult(kind.name, kind.job.stage, kind.jobs, kind.size.steps)


def test_a_process_that_has_answered_leaves_by_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed one gives no semaphore back, of which Python warns at the end."""
    monkeypatch.setattr(rehearse, "_rehearse_or_explain", _slow_to_leave)
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    graph = _experiment(root, "mtt")
    next(rehearse.rehearse_kinds(graph, job_kinds.find_job_kinds(graph, "one"), steps=1))
    assert (tmp_path / "left").exists()


def test_too_little_memory_is_told_and_is_no_defect(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore words")

    monkeypatch.setattr(rehearse, "_rehearse", greedy)
    found = _run(_experiment(root, "mtt"))
    assert {one.problem for one in found} == {"CUDA out of memory. Tried to allocate 2 GiB"}


@pytest.mark.slow
def test_a_rehearsal_that_is_killed_leaves_nothing(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(repository.ROOT / "src")}
    command = [sys.executable, "-m", "dcpipe", "rehearse", "tiny"]
    parent = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(place.glob("dcpipe-rehearsal-*/artifacts")):
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while list(place.glob("dcpipe-rehearsal-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("text", ["", "0", "1,,8", "eight", "1,-8"])
def test_devices_are_numbers_above_zero(text: str) -> None:
    with pytest.raises(UserError, match=r"--devices: .* is not a list of numbers above 0; write for example 1,8,64"):
        rehearsal_table.parse_device_counts(text)
    assert rehearsal_table.parse_device_counts("1, 8,64") == (1, 8, 64)


def test_seconds_of_a_rehearsal_are_cpu_time_on_a_loaded_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = 0.2
    monkeypatch.setattr(rehearse, "SHORT_SECONDS", 0.0)
    execute = rehearse.execute_job

    def delayed(job: Job, place: Path, *, keep_state: bool) -> dict[str, object]:
        time.sleep(waiting)  # as a process that does not get the CPU
        return execute(job, place, keep_state=keep_state)

    graph = _experiment(root, "mtt")
    kinds = [_kind(graph, "distill")]
    (alone,) = rehearse.rehearse_kinds(graph, kinds, steps=1, in_child=False)
    monkeypatch.setattr(rehearse, "execute_job", delayed)
    (loaded,) = rehearse.rehearse_kinds(graph, kinds, steps=1, in_child=False)
    assert loaded.wall_seconds - loaded.cpu_seconds > 3 * waiting
    assert alone.cpu_seconds > 0
    (line,) = rehearsal_table.machine_load_warning([replace(loaded, wall_seconds=2.1, cpu_seconds=1.0)])
    assert line.startswith("the machine is loaded: 2.1 s of wall time for 1.0 s of CPU time;")
    assert rehearsal_table.machine_load_warning([replace(loaded, wall_seconds=1.1, cpu_seconds=1.0)]) == []
