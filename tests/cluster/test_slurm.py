"""The workflow on a real SLURM cluster: the bytes of a local run, whatever the scheduler does to its jobs."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from slurm import Slurm

from clone import Clone

PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")
DISTILL = "distill_tiny_mtt_ipc1_set0"
TARGET = "artifacts/synthetic/tiny/mtt/ipc1/set0/card.json"
MTT, SHORT = "params/methods/mtt.yaml", "      iterations: 6\n      snapshot_every: 2\n"


def on(slurm: Slurm, clone: Clone, to: Path) -> Clone:
    """A copy of a clone whose commands talk to the cluster."""
    shutil.copytree(clone.path, to, symlinks=True)
    return Clone(to, {**clone.settings, **slurm.settings})


def _interruptible() -> None:
    """A shell gives what it runs in the background an ignored SIGINT, which children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def running(clone: Clone, *arguments: str, experiment: str = "tiny") -> Iterator[subprocess.Popen[str]]:
    """Snakemake on the cluster, in the background; its jobs are cancelled if the test fails."""
    command = ["snakemake", "--config", f"experiment={experiment}", *PROFILE, *arguments]
    with (clone.path / "snakemake.out").open("w") as out:
        child = subprocess.Popen(
            command,
            cwd=clone.path,
            env=clone.environment,
            stdout=out,
            stderr=out,
            text=True,
            preexec_fn=_interruptible,  # noqa: PLW1509 (this process has one thread)
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                child.wait(timeout=120)


def until(true: Callable[[], object], child: subprocess.Popen[str], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        assert child.poll() is None, "Snakemake ended too early"
        time.sleep(0.2)


def log(clone: Clone, job: str = DISTILL) -> str:
    file = clone.path / f"logs/{job.partition('_')[0]}/{job}.log"
    return file.read_text() if file.is_file() else ""


def said(clone: Clone) -> str:
    return (clone.path / "snakemake.out").read_text()


def test_a_cluster_whose_node_is_drained_makes_the_bytes_of_a_local_run(
    slurm: Slurm, local: Clone, tmp_path: Path
) -> None:
    clone = Clone.make(tmp_path / "clone", {**local.settings, **slurm.settings})
    before = len(slurm.jobs())
    with running(clone) as child:
        until((clone.path / "artifacts/data/tiny/card.json").is_file, child)
        slurm.run("scontrol", "update", "NodeName=localhost", "State=DRAIN", "Reason=test")
        until(lambda: slurm.node_state() in {"drained", "draining"}, child)
        time.sleep(5)
        slurm.run("scontrol", "update", "NodeName=localhost", "State=RESUME")
        assert child.wait(timeout=900) == 0, said(clone)
    assert "recorded 12 jobs" in said(clone)
    assert clone.artifacts() == local.artifacts()
    assert clone.lock() == local.lock()
    assert clone.dvc_is_clean()
    submitted = [slurm.job(number) for number in slurm.jobs()[before:]]
    print(f"13 jobs in {len(submitted)} submissions: {', '.join(sorted(job['Comment'] for job in submitted))}")  # noqa: T201
    assert len(submitted) == 9  # data, both shards together, 4 sets, all scores together, metrics, report
    for job in submitted:
        learns = any(rule in job["Comment"] for rule in ("experts", "distill", "evaluate"))
        on_gpu = learns and "random" not in job["Comment"]  # a coreset is real images as they are
        assert job["Partition"] == ("gpu" if on_gpu else "cpu")
        assert ("TresPerJob" in job) == on_gpu
    for name in ("experts_tiny_plain_shard0", "experts_tiny_plain_shard1", DISTILL):
        assert "CUDA_VISIBLE_DEVICES=" in log(clone, name)


MINE = """\
title: An experiment of a file, with a preset of its own
description: Twelve jobs.
presets:
  mtt-mine: {base: mtt, matching: {inner_steps: 4}}
runs:
  - {datasets: [tiny], methods: [random, mtt-mine], ipc: [1], sets: 2, evaluations: [digits], networks: [native]}
"""


def test_an_experiment_of_a_file_makes_the_bytes_of_a_local_run(slurm: Slurm, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    local = Clone.make(tmp_path / "local", {"DCPIPE_DEVICE": "cpu"})
    assert "recorded 12 jobs of mine" in local.run("snakemake", "--config", "experiment=../mine.yaml").stdout
    clone = Clone.make(tmp_path / "clone", slurm.settings)
    with running(clone, experiment="../mine.yaml") as child:
        assert child.wait(timeout=900) == 0, said(clone)
    assert "recorded 12 jobs of mine" in said(clone)
    assert clone.artifacts() == local.artifacts()
    again = clone.run("snakemake", "--config", "experiment=../mine.yaml", "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    finished = clone.finished()
    clone.dcpipe("repro", "../mine.yaml")
    assert clone.ran_since(finished) == set()


def test_two_gpu_jobs_at_once_see_different_devices(slurm: Slurm, tmp_path: Path) -> None:
    # each says which device it has, and waits for another: were it the same one, they would wait for ever
    script = f"cd {tmp_path}; touch $CUDA_VISIBLE_DEVICES.has; until [ -e 0.has ] && [ -e 1.has ]; do sleep 0.1; done"
    submit = [
        "sbatch",
        "--parsable",
        "--output=/dev/null",
        "--partition=gpu",
        "--gpus=1",
        "--mem=100",
        "--wrap",
        script,
    ]
    numbers = [slurm.run(*submit) for _ in range(2)]
    deadline = time.monotonic() + 60
    while {slurm.job(number)["JobState"] for number in numbers} != {"COMPLETED"}:
        assert time.monotonic() < deadline, [slurm.job(number) for number in numbers]
        time.sleep(0.5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.has", "1.has"]


def test_gpu_check_fails_where_torch_cannot_use_the_allocated_device(slurm: Slurm, local: Clone) -> None:
    clone = Clone(local.path, {**slurm.settings, "DCPIPE_DEVICE": ""})
    command = ("srun", "--partition=gpu", "--gpus=1", "--mem=2000", "dcpipe", "gpu-check")
    done = clone.run(*command, ok=False)
    assert done.returncode == 1
    assert "the scheduler allocated an accelerator, but torch finds none" in done.stderr
    assert "SLURM job" in Clone(local.path, {**clone.settings, "DCPIPE_DEVICE": "cpu"}).run(*command).stdout


@pytest.fixture(scope="module")
def longer(local: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The local run with one set that takes long enough to be interrupted, not yet made."""
    path = tmp_path_factory.mktemp("longer") / "clone"
    shutil.copytree(local.path, path, symlinks=True)
    clone = Clone(path, local.settings)
    shutil.rmtree(path / "logs")
    clone.edit(MTT, SHORT, SHORT.replace("6", "600").replace("2", "200"))
    return clone


@pytest.fixture(scope="module")
def uninterrupted(longer: Clone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the longer set is when nothing interrupts it."""
    path = tmp_path_factory.mktemp("uninterrupted") / "clone"
    shutil.copytree(longer.path, path, symlinks=True)
    clone = Clone(path, longer.settings)
    clone.snakemake("--", TARGET)
    return clone.artifacts()


def requeue(slurm: Slurm, number: str) -> None:
    """What an administrator does."""
    slurm.run("scontrol", "requeue", number)


def preempt(slurm: Slurm, number: str) -> None:
    """Somebody's job of a higher partition takes both GPUs; a job that leaves within its GraceTime has failed."""
    command = ("sbatch", "--parsable", "--output=/dev/null", "--partition=urgent", "--gpus=2", "--mem=100")
    urgent = slurm.run(*command, "--wrap", "sleep 1")
    deadline = time.monotonic() + 120
    while slurm.job(urgent)["JobState"] != "COMPLETED":
        assert time.monotonic() < deadline
        time.sleep(0.5)


def terminate(slurm: Slurm, number: str) -> None:
    """SIGTERM alone: the job leaves with a resumable exit code, and Snakemake submits it again."""
    slurm.run("scancel", "--signal=TERM", number)


def cancel(slurm: Slurm, number: str) -> None:
    """The job is taken away for good, and Snakemake submits it again."""
    slurm.run("scancel", number)


INTERRUPTIONS = {
    requeue: "requeued: the same number goes on",
    preempt: "failed: submitted again",
    terminate: "failed: submitted again",
    cancel: "failed: submitted again",
}


@pytest.mark.parametrize("interrupt", list(INTERRUPTIONS), ids=lambda function: function.__name__)
def test_an_interrupted_job_saves_goes_on_and_ends_with_the_same_bytes(
    interrupt: Callable[[Slurm, str], None],
    slurm: Slurm,
    longer: Clone,
    uninterrupted: dict[str, str],
    tmp_path: Path,
) -> None:
    clone = on(slurm, longer, tmp_path / "clone")
    before = slurm.jobs()
    with running(clone, "--", TARGET) as child:
        until(lambda: " of 600" in log(clone), child)
        time.sleep(2)
        number = slurm.jobs()[len(before)]
        interrupt(slurm, number)
        assert child.wait(timeout=400) == 0, said(clone) + log(clone)
    # Snakemake begins the log anew; two seconds after the start only the signal can have saved a state
    assert log(clone).count("resumes from its saved state") == 1
    assert clone.artifacts() == uninterrupted
    own = [slurm.job(job) for job in slurm.jobs() if slurm.job(job)["WorkDir"] == str(clone.path)]
    if INTERRUPTIONS[interrupt].startswith("requeued"):
        assert [(job["Restarts"], job["JobState"]) for job in own] == [("1", "COMPLETED")]
    else:
        assert [job["JobState"] for job in own][-1] == "COMPLETED"
        assert len(own) == 2
        assert "Trying to restart job" in said(clone)


def test_a_job_at_its_time_limit_saves_and_goes_on_in_another(slurm: Slurm, longer: Clone, tmp_path: Path) -> None:
    clone = on(slurm, longer, tmp_path / "clone")
    clone.edit(MTT, "iterations: 600", "iterations: 60000")  # it need not end, only go on
    before = slurm.jobs()
    with running(clone, "--set-resources", "distill:runtime=1", "--", TARGET) as child:
        until(lambda: "resumes from its saved state" in log(clone), child)
        first, second = slurm.jobs()[len(before) :]
        assert slurm.job(first)["JobState"] == "TIMEOUT"
        assert slurm.job(second)["JobState"] == "RUNNING"
    assert not (clone.path / TARGET).exists()


def test_without_retries_a_cancelled_job_ends_the_run_and_says_so(slurm: Slurm, longer: Clone, tmp_path: Path) -> None:
    clone = on(slurm, longer, tmp_path / "clone")
    before = slurm.jobs()
    with running(clone, "--retries", "0", "--", TARGET) as child:
        until(lambda: " of 600" in log(clone), child)
        number = slurm.jobs()[len(before)]
        slurm.run("scancel", number)
        assert child.wait(timeout=200) == 1
    assert f"SLURM-job '{number}' failed, SLURM status is: 'CANCELLED'" in said(clone)
    assert clone.dcpipe("record", "tiny", ok=False).returncode != 0


def test_the_generic_profile_makes_the_same_bytes(slurm: Slurm, local: Clone, tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone", {**local.settings, **slurm.settings})
    target = "artifacts/scores/tiny/random/ipc1/set0/digits/native/scores.json"
    clone.snakemake("--workflow-profile", "profiles/cluster", "--latency-wait", "10", "--", target)
    made, wanted = clone.artifacts(), local.artifacts()
    assert made == {path: wanted[path] for path in made}
    assert target in made
    assert os.fspath(clone.path) in {slurm.job(number)["WorkDir"] for number in slurm.jobs()}
