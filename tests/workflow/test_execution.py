"""Laws of running a job: the same bytes however often it is killed and resumed, and whatever surrounds it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.errors import DcpipeError, JobBusyError, UserError
from dcpipe.provenance import artifact, card
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow import execution
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.state_folder import lock_file
from dcpipe.workflow.task import Task

pytestmark = pytest.mark.xdist_group("interrupted")  # one worker makes the module's fixture

DISTILL = ["distill", "tiny", "mtt", "--ipc", "1"]
EXPERTS = ["experts", "tiny", "plain", "--shard", "0"]
EVALUATE = ["evaluate", "tiny", "mtt", "--ipc", "1", "--protocol", "digits"]
WORDS: dict[str, dict[str, str | int]] = {
    "distill": repository.CELL,
    "experts": {"dataset": "tiny", "experts": "plain", "shard": 0},
    "evaluate": {**repository.CELL, "evaluation": "digits", "network": "native"},
}
# how, when, command, and how far the saved state is: iterations, epochs, or accuracies
CASES = {
    "distill, SIGTERM": ("TERM", 3, DISTILL, 4),
    "distill, kill -9 before the first save": ("KILL", 1, DISTILL, None),
    "distill, kill -9": ("KILL", 4, DISTILL, 3),
    "distill, kill -9 in the last iteration": ("KILL", 6, DISTILL, 5),
    "experts, SIGTERM": ("TERM", 2, EXPERTS, 2),
    "experts, kill -9": ("KILL", 3, EXPERTS, 2),
    "evaluate, SIGTERM": ("TERM", 1, EVALUATE, 2),
    "evaluate, kill -9": ("KILL", 2, EVALUATE, 1),
}


@dataclass(frozen=True)
class Interrupted:
    """A root in which a job was interrupted."""

    root: Path
    job: Job
    code: int
    reached: int | None

    @property
    def states(self) -> list[Path]:
        return sorted((self.root / "state").glob("*/*.state"))

    @property
    def saved(self) -> int | None:
        """How far the saved state is."""
        if not self.states:
            return None
        (path,) = self.states
        _, meta = ResumeState(path.parent).load(path.stem) or (None, {})
        return meta.get("iteration", meta.get("epoch", len(meta)))

    def finish(self) -> dict[str, bytes]:
        execute_job(self.job, self.root)
        return repository.bytes_below(self.root / self.job.folder)


def _interrupt(made: Path, to: Path, cases: list[tuple[str, int, list[str], int | None]]) -> list[Interrupted]:
    jobs = [Graph(made).make_job(case[2][0], **WORDS[case[2][0]]) for case in cases]
    roots = [Path(shutil.copytree(made, to / str(number))) for number in range(len(cases))]
    for root, job in zip(roots, jobs, strict=True):
        shutil.rmtree(root / job.folder)
    told = json.dumps([[str(root), *case[:3]] for root, case in zip(roots, cases, strict=True)])
    done = repository.child(to, str(Path(__file__).with_name("interrupted.py")), told)
    codes = json.loads(done.stdout)
    rows = zip(roots, jobs, codes, cases, strict=True)
    return [Interrupted(root, job, code, case[3]) for root, job, code, case in rows]


@pytest.fixture(scope="module")
def interrupted(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interrupted]:
    """Every case, interrupted and not yet resumed."""
    return dict(zip(CASES, _interrupt(made, tmp_path_factory.mktemp("roots"), list(CASES.values())), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(
    case: str, interrupted: dict[str, Interrupted], made: Path
) -> None:
    run = interrupted[case]
    assert run.code == (75 if "TERM" in case else -9)
    assert not (run.root / run.job.folder / "card.json").exists()
    assert run.saved == run.reached
    assert run.finish() == repository.bytes_below(made / run.job.folder)
    assert run.states == []


def _stop_after(root: Path, job: Job, saves: int) -> Interrupted:
    """A job that left its state at so many saves and no artifact, made in this process."""
    real, number = ResumeState.save, count(1)

    def save_at_first(self: ResumeState, *arguments: object) -> None:
        if next(number) <= saves:
            real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumeState, "is_due", lambda _: True)
        patch.setattr(ResumeState, "save", save_at_first)
        patch.setattr(ResumeState, "clear", lambda _: None)
        execute_job(job, root)
    shutil.rmtree(root / job.folder)
    return Interrupted(root, job, 0, saves)


@pytest.fixture
def stopped(tiny: Path) -> Interrupted:
    """A distillation that was interrupted after three of six iterations."""
    return _stop_after(tiny, Graph(tiny).make_job("distill", **repository.CELL), 3)


@pytest.mark.parametrize(
    ("saves", "network"),
    [(2, "native"), (4, "native"), (6, "native"), (2, "convnet2-w8-batch"), (7, "convnet2-w8-batch")],
)
def test_a_shard_goes_on_in_the_middle_of_any_of_its_experts(
    saves: int, network: str, tiny: Path, tmp_path: Path
) -> None:
    """Two experts of four epochs; velocities and running statistics are part of the state."""
    values = {"momentum": 0.9, "overrides.tiny.shard_experts": 2, "overrides.tiny.kept_epochs": "3-4"}
    values |= {"network": network}
    repository.set_params(tiny, "experts/plain.yaml", values)
    job = Graph(tiny).make_job("experts", **WORDS["experts"])
    execute_job(job, tiny, folder=tmp_path / "whole", keep_state=False)
    stopped = _stop_after(tiny, job, saves)
    assert len(stopped.states) == (saves + 3) // 4
    assert stopped.finish() == repository.bytes_below(tmp_path / "whole")


PASS = {"second_pass": {"steps": "1/1", "draws": "shared"}}
REMEMBERING = {
    "vasso": {"kind": "vasso", "radius": 0.5, "theta": 0.3, **PASS},
    "gsam": {"kind": "gsam", "radius": 0.5, "alpha": 0.5, **PASS},
    "satm": {"kind": "satm", "radius": 0.5, "noise": {"scale": 0.1, "unit": "rms", "kept": True}, **PASS},
}


@pytest.mark.parametrize("kind", REMEMBERING)
def test_an_outer_optimiser_goes_on_with_what_it_remembers(kind: str, tiny: Path, tmp_path: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {"outer.sharpness": REMEMBERING[kind]})
    job = Graph(tiny).make_job("distill", **repository.CELL)
    execute_job(job, tiny, folder=tmp_path / "whole", keep_state=False)
    stopped = _stop_after(tiny, job, 3)
    state = ResumeState(stopped.states[0].parent)
    tensors, meta = state.load("distill") or ({}, None)
    assert stopped.saved == 3
    assert ("memory" in tensors) == (kind == "vasso")
    whole = repository.bytes_below(tmp_path / "whole")
    if kind == "vasso":  # and what it remembers matters
        state.save("distill", {**tensors, "memory": torch.roll(tensors["memory"], 1, 0)}, meta)
        execute_job(job, tiny, folder=tmp_path / "other")
        name = "synthetic.safetensors"
        assert (tmp_path / "other" / name).read_bytes() != whole[name]
        state.save("distill", tensors, meta)
    assert stopped.finish() == whole


def test_a_resumed_run_goes_on_from_its_state_and_from_nothing_else(stopped: Interrupted, made: Path) -> None:
    """Another state under the job's key gives another set; so the equality above is no accident."""
    (path,) = stopped.states
    state = ResumeState(path.parent)
    tensors, meta = state.load(path.stem) or ({}, None)
    assert stopped.saved == 3
    state.save(path.stem, {**tensors, "current.images": tensors["current.images"] + 1}, meta)
    name = "synthetic.safetensors"
    assert stopped.finish()[name] != (made / stopped.job.folder / name).read_bytes()


def test_a_run_that_was_stopped_after_its_last_step_has_the_same_card(tiny: Path, made: Path) -> None:
    """What a card says of the steps is known to a run that has none left to make."""
    job = Graph(tiny).make_job("distill", **repository.CELL)
    for saves in (5, 6):
        stopped = _stop_after(tiny, job, saves)
        assert stopped.saved == saves
        assert stopped.finish() == repository.bytes_below(made / job.folder)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_state_counts_as_none(damage: Callable[[Path], None], stopped: Interrupted, made: Path) -> None:
    damage(stopped.states[0])
    assert stopped.finish() == repository.bytes_below(made / stopped.job.folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("methods/mtt.yaml", "seed", 1),
        ("methods/mtt.yaml", "overrides.tiny.outer.iterations", 5),
        ("experts/plain.yaml", "overrides.digits.learning_rate", 0.02),  # alters nothing but an input
        ("datasets/tiny.yaml", "split.seed", 1),
    ],
)
def test_state_of_another_identity_is_never_taken_up(file: str, key: str, value: object, stopped: Interrupted) -> None:
    root = stopped.root
    repository.set_params(root, file, {key: value})
    repository.make(root, "data", dataset="tiny")
    for shard in (0, 1):
        repository.make(root, "experts", dataset="tiny", experts="plain", shard=shard)
    job = repository.make(root, "distill", **repository.CELL)
    found = repository.bytes_below(root / job.folder)
    assert stopped.saved == 3, "the other identity's state stays where it is"
    shutil.rmtree(root / "state")
    repository.make(root, "distill", **repository.CELL)
    assert repository.bytes_below(root / job.folder) == found


def test_a_job_that_is_running_is_not_run_twice(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Graph(made).make_job("metrics", experiment="tiny")
    monkeypatch.setattr(execution, "WAIT_SECONDS", 0.3)
    with (made / "state/locks/metrics_tiny.lock").open("w") as held:
        held.write("4711")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(JobBusyError, match="metrics_tiny: process 4711 is working on this job; wait until"):
            execute_job(job, made, folder=tmp_path)
    execute_job(job, made, folder=tmp_path)


def _other_experts(root: Path) -> None:
    """Make an input of a distillation again, with other bytes."""
    whole = (root / "params/experts/plain.yaml").read_text()
    repository.set_params(root, "experts/plain.yaml", {"seed": 5})
    repository.make(root, "experts", **WORDS["experts"])
    (root / "params/experts/plain.yaml").write_text(whole)


def test_inputs_that_change_while_a_job_runs_are_never_published(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    before = repository.bytes_below(tiny / job.folder)

    def run(task: Task) -> None:
        for name in ("synthetic", "snapshots", "history", "preview"):
            task.output(name).write_bytes(b"")
        _other_experts(tiny)

    with pytest.raises(DcpipeError, match=r"made again while it was read \(inputs trajectories 0 digest: ") as told:
        execute_job(job, tiny, run_instead=run)
    assert "nothing was published; wait until nothing else makes its inputs" in str(told.value)
    assert repository.bytes_below(tiny / job.folder) == before
    shutil.rmtree(tiny / "artifacts/experts")
    with pytest.raises(UserError, match="this input does not exist"):
        execute_job(job, tiny)


@pytest.mark.slow
def test_a_card_names_the_inputs_that_were_there_when_the_lock_was_had(tiny: Path) -> None:
    """The job waits for another process; its inputs are made again in the meantime."""
    job = Graph(tiny).make_job("distill", **repository.CELL)
    shutil.rmtree(tiny / job.folder)
    path = lock_file(job, tiny)
    with path.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = tiny / "told"
        with told.open("w") as log:
            command = [sys.executable, "-m", "dcpipe", *DISTILL]
            child = subprocess.Popen(command, cwd=tiny, stderr=log, env={**os.environ, "DCPIPE_DEVICE": "cpu"})
            deadline = time.monotonic() + 60
            while "waiting" not in told.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            _other_experts(tiny)
            fcntl.flock(held, fcntl.LOCK_UN)
            assert child.wait(timeout=120) == 0, told.read_text()
    assert "waiting" in told.read_text()
    inputs = artifact.read_card(tiny / job.outputs["card"])["inputs"]
    assert inputs == card.identity(job, tiny)["inputs"]
    waited = repository.bytes_below(tiny / job.folder)
    execute_job(job, tiny)
    assert repository.bytes_below(tiny / job.folder) == waited


def test_a_job_without_its_inputs_says_how_to_make_them(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        repository.make(root, "distill", **repository.CELL)
    assert str(caught.value) == (
        "artifacts/data/tiny/train.zarr: this input does not exist; run the stage that makes it, or all with "
        "`snakemake -- artifacts/synthetic/tiny/mtt/ipc1/set0/card.json`"
    )
    assert not (root / "artifacts").exists()


def test_a_rebuild_beside_an_artifact_gives_its_bytes_and_leaves_it_alone(made: Path, tmp_path: Path) -> None:
    for stage, words in WORDS.items():
        job = Graph(made).make_job(stage, **words)
        before = repository.bytes_below(made / job.folder)
        execute_job(job, made, folder=tmp_path / stage, keep_state=False)
        assert repository.bytes_below(tmp_path / stage) == before == repository.bytes_below(made / job.folder)


SURROUNDINGS = [
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "2", "USER": "x"},
]


@pytest.mark.slow
@pytest.mark.parametrize("environment", SURROUNDINGS, ids=["1", "2"])
def test_bytes_do_not_depend_on_process_place_time_zone_or_locale(
    environment: dict[str, str], made: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(made, tmp_path / "another folder" / "näher" / "x"))
    job = Graph(root).make_job("distill", **repository.CELL)
    shutil.rmtree(root / job.folder)
    done = repository.child(root, "-m", "dcpipe", *DISTILL, **environment)
    assert done.returncode == 0, done.stderr
    found = repository.bytes_below(root / job.folder)
    assert set(found) == {"synthetic.safetensors", "snapshots.safetensors", "history.csv", "preview.png", "card.json"}
    assert found == repository.bytes_below(made / job.folder)


def test_jobs_do_not_depend_on_what_ran_before_them_in_the_process(made: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    torch.rand(11)
    graph = Graph(made)
    for job in reversed(graph.experiment_jobs("tiny")):
        if not job.is_view:
            execute_job(job, made, folder=tmp_path / job.name)
            assert repository.bytes_below(tmp_path / job.name) == repository.bytes_below(made / job.folder)


@pytest.mark.parametrize("method", ["datm", "tesla-soft"])
def test_a_distillation_with_soft_labels_goes_on_to_the_same_bits(method: str, tiny: Path, tmp_path: Path) -> None:
    """Logits, their velocity and the snapshots' labels are part of the state."""
    job = Graph(tiny).make_job("distill", **{**repository.CELL, "method": method})
    execute_job(job, tiny, folder=tmp_path / "whole")
    run = _stop_after(tiny, job, 3)
    assert run.saved == 3
    assert run.finish() == repository.bytes_below(tmp_path / "whole")
