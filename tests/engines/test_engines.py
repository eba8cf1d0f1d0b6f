"""Snakemake and DVC over one graph: the same bytes, the same reruns, and nothing wrong is ever recorded.

Everything runs in real clones through the real command lines, on the tiny experiment. `make test` runs the short form;
`make test LONG=1` and `make engines` add the tests marked long, and `make engines` prints what it saw.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from clone import DVC_FILE, EXPERIMENT, Clone
from dcpipe.workflow.graph import Graph

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.xdist_group("engines")]
LONG = bool(os.environ.get("DCPIPE_LONG"))

MTT, EXACT = "params/methods/mtt.yaml", "src/dcpipe/distillation/hypergradient/exact.py"
DISTILL = {f"distill_tiny_{method}_ipc{ipc}_set0" for method in ("random", "mtt") for ipc in (1, 2)}
EVALUATE = {name.replace("distill_", "evaluate_") + "_digits_native" for name in DISTILL}
EXPERTS = {"experts_tiny_plain_shard0", "experts_tiny_plain_shard1"}
METRICS = {"metrics_tiny"}
MTT_JOBS = {name for name in DISTILL | EVALUATE if "_mtt_" in name}
ALL = {"data_tiny"} | EXPERTS | DISTILL | EVALUATE | METRICS

CHANGES = {
    "dataset": ("params/datasets/tiny.yaml", "train_per_class: 16", "train_per_class: 15", ALL),
    "experts": ("params/experts/plain.yaml", "    batch: 32", "    batch: 24", EXPERTS | MTT_JOBS | METRICS),
    "preset": (MTT, "inner_steps: 5\n", "inner_steps: 4\n", MTT_JOBS | METRICS),
    "evaluation": ("params/evaluations/digits.yaml", "    epochs: 20", "    epochs: 19", EVALUATE | METRICS),
    "ipc override": (
        MTT,
        "learning_rate: 50.0",
        "learning_rate: 70.0",
        {"distill_tiny_mtt_ipc1_set0", "evaluate_tiny_mtt_ipc1_set0_digits_native"} | METRICS,
    ),
    "formula": (
        EXACT,
        "v_P = v_P - eta * pulled.theta",
        "v_P = v_P - 0.5 * eta * pulled.theta",
        MTT_JOBS | METRICS,
    ),
}
SHORT = "ipc override"


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone where DVC ran the experiment from an empty cache, and the run was adopted."""
    clone = Clone.make(tmp_path_factory.mktemp("dvc") / "elsewhere" / "clone")
    clone.repro()
    return clone


def copy(clone: Clone, path: Path) -> Clone:
    """The same clone with all its history, elsewhere."""
    shutil.copytree(clone.path, path, symlinks=True)
    return Clone(path)


def test_a_fresh_clone_lists_every_job(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    listed = clone.run("snakemake", "-n")
    words = {tuple(line.split()) for line in listed.stdout.splitlines() + listed.stderr.splitlines()}
    wanted = Counter(job.stage for job in Graph(clone.path).experiment_jobs("digits"))
    assert wanted["distill"] > 10
    assert {(stage, str(count)) for stage, count in wanted.items()} <= words


def test_after_snakemake_dvc_is_clean_and_runs_nothing(recorded: Clone) -> None:
    before = recorded.finished()
    assert set(before) == ALL
    assert recorded.dvc_is_clean()
    recorded.dvc("repro")
    assert recorded.ran_since(before) == set()
    assert recorded.snakemake_is_done()


def test_after_dvc_and_adopt_snakemake_is_done_and_bytes_are_equal(recorded: Clone, reproduced: Clone) -> None:
    assert reproduced.snakemake_is_done()
    assert reproduced.dvc_is_clean()
    assert reproduced.artifacts() == recorded.artifacts()
    assert reproduced.lock() == recorded.lock()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == SHORT else [pytest.mark.long]) for name in CHANGES],
)
def test_both_engines_rerun_the_same_jobs_and_no_more(
    name: str, recorded: Clone, reproduced: Clone, tmp_path: Path
) -> None:
    """Of the change; the comments that come with it rerun nothing. Taken back, every byte comes from the cache."""
    file, old, new, expected = CHANGES[name]
    ran: list[set[str]] = []
    clones = [copy(recorded, tmp_path / "a"), copy(reproduced, tmp_path / "b")]
    for clone, run in zip(clones, (clones[0].snakemake, clones[1].repro), strict=True):
        before = clone.finished()
        text = (clone.path / EXACT).read_text()
        (clone.path / EXACT).write_text(f"# another comment\n{text}\n# and one more\n")
        clone.edit(file, old, new)
        run()
        ran.append(clone.ran_since(before))
    print(f"{name}: {file}: {old.strip()} -> {new.strip()}: {len(ran[0])} jobs: {', '.join(sorted(ran[0]))}")  # noqa: T201
    assert ran == [expected, expected]
    assert clones[0].artifacts() == clones[1].artifacts() != recorded.artifacts()
    assert clones[0].lock() == clones[1].lock()
    if LONG:
        before = clones[0].finished()
        clones[0].edit(file, new, old)
        clones[0].repro()
        assert clones[0].ran_since(before) == set()
        assert (clones[0].artifacts(), clones[0].lock()) == (recorded.artifacts(), recorded.lock())
        assert clones[0].snakemake_is_done()


def test_snakemake_names_the_value_that_changed_and_no_other(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    clone.edit(*CHANGES["ipc override"][:3])
    told = clone.snakemake("--dry-run")
    (reason,) = {line for line in (told.stdout + told.stderr).splitlines() if "reason: Params" in line}
    key = f"{MTT}: overrides.tiny.ipc1.outer.images.optimiser.learning_rate"
    assert re.findall("'([^']*)'", reason) == [f"{key} = 50.0", f"{key} = 70.0"]


@pytest.mark.long
def test_a_process_of_one_job_leaves_code_identity_alone(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    identity = clone.path / "code_identity.yaml"
    right = identity.read_text()
    identity.write_text(right.replace(" sgd: h", " sgd: hff"))
    job = ["--target-jobs", "report:", "--allowed-rules", "report", "--force", "--mode", "subprocess"]
    clone.snakemake(*job, "--no-hooks", "--nolock", "--cores", "1")
    assert identity.read_text() != right, "only a first process brings it up to date"
    identity.write_text(right)
    assert clone.snakemake_is_done()


@pytest.mark.long
def test_after_rules_are_written_anew_what_is_finished_can_be_adopted(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    (clone.path / DVC_FILE).with_suffix(".lock").unlink()  # never recorded: cards alone say what the bytes were
    shutil.rmtree(clone.path / "artifacts/metrics")
    before = clone.finished()
    shard = clone.path / "artifacts/experts/tiny/plain/shard1"
    files = [path for path in shard.rglob("theta/c/**/*") if path.is_file()]
    chunk = max(files, key=lambda path: path.stat().st_size)
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    clone.edit("workflow/rules/stages.smk", "command=flow", "more=1, command=flow")
    listed = clone.snakemake("--dry-run")
    words = {tuple(line.split()) for line in (listed.stdout + listed.stderr).splitlines()}
    assert {("data", "1"), ("experts", "2"), ("distill", "4"), ("evaluate", "4")} <= words
    assert "adopted 6 finished jobs of tiny; 6 left to run" in clone.dcpipe("adopt", EXPERIMENT, "--finished").stdout
    clone.snakemake()
    assert clone.ran_since(before) == {"experts_tiny_plain_shard1"} | MTT_JOBS | METRICS
    assert chunk.read_bytes() == whole
    assert clone.dvc_is_clean()


def test_what_was_removed_comes_back_from_the_cache(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    shutil.rmtree(clone.path / "artifacts")
    shutil.rmtree(clone.path / ".snakemake")
    clone.dvc("checkout")
    clone.dcpipe("adopt", EXPERIMENT)
    assert clone.snakemake_is_done()
    assert clone.artifacts() == recorded.artifacts()
    assert clone.finished() == recorded.finished()


def test_another_experiment_that_never_ran_disturbs_nothing(recorded: Clone) -> None:
    assert recorded.dcpipe("verify", EXPERIMENT).returncode == 0
    assert not (recorded.path / "artifacts/data/digits").exists()


def refused(clone: Clone, *words: str) -> str:
    """`dcpipe record` must refuse with one line that holds the words; nothing is recorded."""
    lock = clone.lock() if (clone.path / "experiments/tiny/dvc.lock").exists() else None
    done = clone.dcpipe("record", EXPERIMENT, ok=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("dcpipe:")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    assert lock is None or clone.lock() == lock
    return lines[0]


def test_record_refuses_a_changed_key_without_provenance(reproduced: Clone, tmp_path: Path) -> None:
    clone = copy(reproduced, tmp_path / "clone")
    shutil.rmtree(clone.path / ".snakemake")
    refused(clone, "Snakemake has no record of this job", "dcpipe adopt")
    clone.edit(MTT, "learning_rate: 50.0", "learning_rate: 70.0")
    clone.snakemake("--touch", "--forceall", "--", "artifacts/metrics/tiny/metrics.json")  # lie to Snakemake
    done = clone.dcpipe("record", EXPERIMENT, ok=False)  # cards are not lied to
    assert done.returncode == 1
    for said in ("learning_rate: 50.0, now 70.0", "3 of 12 jobs are still to run; run `snakemake --config experiment="):
        assert said in done.stderr


def test_record_refuses_a_stale_dvc_yaml_that_is_in_git(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    clone.edit("dvc.yaml", "cmd: dcpipe metrics digits ", "cmd: dcpipe metrics other ")
    assert clone.dcpipe("graph", "check", ok=False).returncode == 1
    done = clone.dcpipe("record", "digits", ok=False)
    assert done.returncode == 1
    assert done.stderr.startswith("dcpipe: dvc.yaml: differs from params and graph; run `dcpipe graph export`")
    clone.dcpipe("record", EXPERIMENT)  # which has no job in that file


@pytest.mark.long
def test_record_writes_another_experiments_dvc_yaml_and_still_refuses(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    file = clone.path / "experiments/tiny/dvc.yaml"
    before = file.read_text()
    clone.edit("params/experiments/tiny.yaml", "ipc: [1, 2]", "ipc: [1]")
    assert "metrics_tiny" in refused(clone, "still to run", "snakemake")
    assert 0 < len(file.read_text()) < len(before)
    clone.snakemake()
    assert "ipc2" not in clone.lock()
    assert clone.dvc_is_clean()
    assert "are current" in clone.dcpipe("graph", "check").stdout


def test_record_refuses_a_dvc_yaml_that_git_ignores(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    with (clone.path / ".gitignore").open("a") as file:
        file.write("/experiments/\n")
    refused(clone, "DVC ignores the dvc.yaml that holds this job; remove it from .gitignore")


def test_record_refuses_edited_maths(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    clone.edit(EXACT, "v_P = v_P - eta * pulled.theta", "v_P = v_P + eta * pulled.theta")
    refused(clone, "the code changed since this was written", "distillation.hypergradient.exact", "snakemake")


def test_a_partial_target_is_not_recorded_and_not_an_error(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    done = clone.snakemake("--", "artifacts/data/tiny/card.json")
    assert "not recorded" in done.stdout + done.stderr
    refused(clone, "still to run", "snakemake")


@pytest.mark.long
def test_record_refuses_what_is_lost_or_killed_and_the_next_run_is_right(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    shutil.rmtree(clone.path / "artifacts/experts/tiny/plain/shard0")  # what others need; `make engines` kills more
    refused(clone, "still to run", "snakemake")
    kill_while_running(clone)
    refused(clone, "still to run")
    finish(clone)
    assert clone.artifacts() == recorded.artifacts()
    assert clone.dvc_is_clean()


def kill_while_running(clone: Clone, *, seconds: float | None = None, only_a_job: bool = False) -> None:
    """Start Snakemake and kill -9 it, or one of its jobs, after a while; without `seconds` once a job runs."""
    command = ["snakemake", "--config", f"experiment={EXPERIMENT}"]
    child = subprocess.Popen(
        command, cwd=clone.path, env=clone.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + (60 if seconds is None else seconds)
    while time.monotonic() < deadline and (seconds is not None or not jobs_of(clone)):
        time.sleep(0.1)
    jobs = jobs_of(clone)
    if only_a_job and jobs:
        os.kill(jobs[0], signal.SIGKILL)
        child.wait(timeout=300)
        return
    child.kill()
    child.wait(timeout=60)


def jobs_of(clone: Clone) -> list[int]:
    """The stage processes that run in this clone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").resolve() == clone.path.resolve()
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if inside and any(word.endswith(b"dcpipe") for word in words[:2]):
            found.append(int(process.name))
    return found


def finish(clone: Clone) -> None:
    """What a person does after a kill: start the same command again, at once."""
    clone.snakemake()


THETA = "artifacts/experts/tiny/plain/shard0/trajectory.zarr/theta/c/0/0/0"
SHARD_CARD = "artifacts/experts/tiny/plain/shard0/card.json"


def flip(path: Path) -> None:
    """One bit, without a trace in size, time or mode."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_flipped_bit_is_never_recorded_and_the_remedy_ends_it(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    flip(clone.path / THETA)
    (clone.path / DVC_FILE).with_suffix(".lock").unlink()
    remedy = f"make it again: `snakemake --config experiment=tiny --force -- {SHARD_CARD}`"
    refused(clone, f"{THETA}: was changed after it was written", remedy)
    if not LONG:
        return
    done = clone.snakemake(ok=False)
    assert "not recorded: " in done.stderr
    assert THETA in done.stderr
    clone.run("snakemake", "--config", "experiment=tiny", "--force", "--", SHARD_CARD)
    clone.snakemake()
    assert clone.artifacts() == recorded.artifacts()
    assert clone.lock() == recorded.lock()


@pytest.mark.long
def test_a_bit_flipped_in_dvcs_cache_is_neither_adopted_nor_kept(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    md5 = hashlib.md5((clone.path / THETA).read_bytes(), usedforsecurity=False).hexdigest()
    cached = clone.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    whole = cached.read_bytes()
    flip(cached)
    for folder in ("artifacts", "results", ".snakemake", "costs"):
        shutil.rmtree(clone.path / folder)
    clone.dvc("checkout")
    done = clone.dcpipe("adopt", EXPERIMENT, ok=False)
    assert done.returncode == 1
    assert f"{THETA}: was changed after it was written" in done.stderr
    clone.run("snakemake", "--config", "experiment=tiny", "--force", "--", SHARD_CARD)
    done = clone.dcpipe("adopt", EXPERIMENT)
    assert clone.artifacts() == recorded.artifacts()
    assert cached.read_bytes() == whole
    assert f"{md5[2:]} was damaged; DVC records it again" in done.stderr


@pytest.mark.long
def test_params_that_were_others_while_a_job_ran_make_it_run_again(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    shutil.rmtree(clone.path / "artifacts/synthetic/tiny/mtt/ipc1")
    clone.edit(MTT, "learning_rate: 50.0", "learning_rate: 70.0")
    clone.dcpipe("distill", "tiny", "mtt", "--ipc", "1")  # what a job does whose params were edited after its run began
    clone.edit(MTT, "learning_rate: 70.0", "learning_rate: 50.0")
    done = clone.snakemake()
    told = "dcpipe: distill_tiny_mtt_ipc1_set0 was made with other params (params/methods/mtt.yaml overrides.tiny."
    assert told in done.stderr
    assert clone.artifacts() == recorded.artifacts()
    assert clone.snakemake_is_done()


@pytest.mark.long
@pytest.mark.parametrize("moment", range(10))
def test_kills_at_any_moment_are_never_recorded_and_end_in_the_same_bytes(
    moment: int, recorded: Clone, tmp_path: Path
) -> None:
    clone = Clone.make(tmp_path / "clone")
    seconds = 2.0 + 2.1 * moment
    kill_while_running(clone, seconds=seconds, only_a_job=moment % 2 == 1)
    done = clone.dcpipe("record", EXPERIMENT, ok=False)
    said = (done.stderr.splitlines() or done.stdout.splitlines())[-1]
    print(f"kill -9 of {'a job' if moment % 2 else 'snakemake'} after {seconds:.1f} s: {said}")  # noqa: T201
    assert done.returncode != 0
    finish(clone)
    assert clone.artifacts() == recorded.artifacts()
    assert clone.lock() == recorded.lock()


SAME_AGAIN = {"dcpipe run": ["dcpipe", "run", EXPERIMENT], "dcpipe repro": ["dcpipe", "repro", EXPERIMENT]}


@pytest.mark.long
@pytest.mark.parametrize("seconds", [8.0, 14.0, 20.0, 26.0])
@pytest.mark.parametrize("name", SAME_AGAIN)
def test_the_same_command_goes_on_after_a_kill(name: str, seconds: float, recorded: Clone, tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    child = subprocess.Popen(SAME_AGAIN[name], cwd=clone.path, env=clone.environment, stdout=subprocess.DEVNULL)
    time.sleep(seconds)
    child.kill()
    child.wait(timeout=60)
    done = clone.run(*SAME_AGAIN[name])
    print(f"kill -9 of {name} after {seconds} s: {[line for line in done.stderr.splitlines() if 'dcpipe:' in line]}")  # noqa: T201
    assert clone.artifacts() == recorded.artifacts()
    assert clone.lock() == recorded.lock()
    assert clone.dvc_is_clean()


@pytest.mark.long
def test_what_was_killed_around_the_record_is_recorded_by_the_next_run(recorded: Clone, tmp_path: Path) -> None:
    clone = copy(recorded, tmp_path / "clone")
    (clone.path / DVC_FILE).with_suffix(".lock").unlink()
    done = clone.snakemake("unrecorded=true")
    assert "not recorded in DVC, as requested; record it later with `dcpipe record tiny`" in done.stderr
    assert not (clone.path / DVC_FILE).with_suffix(".lock").exists()
    child = subprocess.Popen(["dcpipe", "record", EXPERIMENT], cwd=clone.path, env=clone.environment)
    time.sleep(3)
    child.kill()
    child.wait(timeout=60)
    done = clone.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert clone.lock() == recorded.lock()
    assert "recorded" not in clone.snakemake().stdout, "once is enough"


@pytest.mark.long
def test_a_record_on_another_disk_leaves_links_that_every_stage_reads(recorded: Clone, tmp_path: Path) -> None:
    clone, disk = copy(recorded, tmp_path / "clone"), tmp_path / "disk"
    (clone.path / DVC_FILE).with_suffix(".lock").unlink()
    for _ in range(2):
        assert f"DVC keeps what it records in {disk}/dvc-cache" in clone.dcpipe("scratch", str(disk)).stdout
    clone.snakemake()
    files = [file for file in (clone.path / "artifacts").rglob("*") if file.name != ".snakemake_timestamp"]
    assert all(file.is_symlink() for file in files if not file.is_dir())
    assert clone.snakemake_is_done()
    assert clone.dvc_is_clean()
    assert clone.artifacts() == recorded.artifacts()
    before = clone.finished()
    clone.edit(*CHANGES["ipc override"][:3])
    clone.snakemake()
    assert clone.ran_since(before) == CHANGES["ipc override"][3]
    objects = [file for file in (disk / "dvc-cache/files/md5").rglob("*") if file.is_file()]
    names = {f"{file.parent.name}{file.name}".removesuffix(".dir") for file in objects}
    assert names == {hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() for file in objects}


@pytest.mark.long
def test_cores_do_not_reach_the_bytes(recorded: Clone, tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "one-core")
    clone.snakemake("--cores", "1")
    assert clone.lock() == recorded.lock()
