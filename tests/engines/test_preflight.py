"""Laws of what is judged before the first job: each hindrance of a run or of its record in one line, exit code 2."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import repository
from dcpipe.engines import dvc_lock, dvc_private, preflight, run_owner, snakemake_private, takeover
from dcpipe.engines.run_owner import RunOwner
from dcpipe.errors import UserError
from dcpipe.provenance.durable import write_json
from dcpipe.workflow import engine_watch
from dcpipe.workflow.graph import Graph


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is ready: params, a git repository, and DVC's folder as `dvc init` leaves it."""
    root = repository.copy_params(tmp_path / "project")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".dvc/tmp").mkdir(parents=True)
    shutil.copy2(repository.ROOT / ".dvc/config", root / ".dvc/config")
    monkeypatch.setenv("HOME", str(root.parent))
    return root


def problems(root: Path) -> list[str]:
    """What blocks a run of tiny, or its record."""
    found = preflight.findings(Graph(root), "tiny")
    return [f"{one.blocks}: {one.problem}" for one in found if one.blocks != "nothing"]


def refused(root: Path, *arguments: str, **environment: str) -> str:
    """The one line with which a run is refused before any job; nothing is made."""
    code, said = repository.dcpipe(root, "run", "tiny", *arguments, **environment)
    lines = said.splitlines()
    assert (code, len(lines)) == (2, 1), said
    assert not list(root.glob("artifacts/**/card.json"))
    return lines[0]


def test_a_folder_that_is_ready_has_nothing_to_do(project: Path) -> None:
    assert problems(project) == []
    code, said = repository.dcpipe(project, "doctor", "tiny")
    assert (code, {line[:5].strip() for line in said.splitlines()}) == (0, {"ok"})


def no_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")


def no_dvc(root: Path) -> None:
    shutil.rmtree(root / ".dvc")


def linked_artifacts(root: Path) -> None:
    (root.parent / "disk").mkdir()
    (root / "artifacts").symlink_to(root.parent / "disk")


def linked_below(root: Path) -> None:
    (root.parent / "disk/data").mkdir(parents=True)
    (root / "artifacts").mkdir()
    (root / "artifacts/data").symlink_to(root.parent / "disk/data")


def broken_cache(root: Path) -> None:
    (root.parent / "full").write_text("a file")
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {root.parent / 'full'}/cache\n")


UNRECORDABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "git": (no_repository, "git: this folder is not in a git repository, so the run could not be recorded; `git init`"),
    "DVC": (no_dvc, "DVC: DVC is not initialised in this folder"),
    "a link": (linked_artifacts, "outputs: artifacts is a link to"),
    "a link below": (linked_below, "outputs: artifacts/data is a link to"),
    "the cache": (broken_cache, "full cannot be written (Not a directory)"),
}


@pytest.mark.parametrize("name", UNRECORDABLE)
def test_what_hinders_the_record_is_said_first_and_can_be_left_out(name: str, project: Path) -> None:
    spoil, expected = UNRECORDABLE[name]
    spoil(project)
    line = refused(project)
    assert expected in line
    assert line.endswith("; or run without a record: `dcpipe run tiny --unrecorded`")
    assert all(problem.startswith("the record: ") for problem in problems(project))
    code, said = repository.dcpipe(project, "run", "tiny", "--unrecorded", "--budget", "0")
    assert (code, "left" in said) == (75, True), "it passes the checks, and stops at its budget"
    assert repository.dcpipe(project, "doctor", "tiny")[0] == 1


def test_a_repository_of_another_user_is_named_with_the_command(project: Path) -> None:
    line = refused(project, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert f"`git config --global --add safe.directory {project.resolve()}`" in line


def test_without_git_the_line_says_how_to_install_it(project: Path, tmp_path: Path) -> None:
    assert refused(project, PATH=str(tmp_path)).startswith("dcpipe: git: git is not installed, so the run could not be")


@pytest.mark.parametrize(
    ("variable", "place"),
    [("TMPDIR", "absent"), ("TMPDIR", "file"), ("HOME", "file"), ("XDG_CACHE_HOME", "file/cache")],
)
def test_a_folder_that_cannot_be_written_is_named_by_its_variable(
    variable: str, place: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refused(project, "--unrecorded", **{variable: str(tmp_path / place)})
    assert line.startswith(f"dcpipe: {variable}: {tmp_path / place}")
    assert "`export " in line


def test_scratch_replaces_an_empty_link_and_refuses_one_with_files(project: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    linked_artifacts(project)
    (disk / "something").write_text("of the user")
    code, said = repository.dcpipe(project, "scratch", str(disk))
    assert (code, said.startswith("dcpipe: artifacts: is a link to")) == (2, True)
    (disk / "something").unlink()
    assert not (project / ".dvc/config.local").exists()
    code, said = repository.dcpipe(project, "scratch", str(project / "artifacts/cache"))
    assert (code, "is inside artifacts/" in said) == (2, True)
    assert repository.dcpipe(project, "scratch", str(disk))[0] == 0
    settings = (project / ".dvc/config.local").read_text()
    assert repository.dcpipe(project, "scratch", str(disk))[0] == 0
    assert (project / ".dvc/config.local").read_text() == settings
    assert preflight.cache_folder(project) == disk / "dvc-cache"
    assert preflight.cache_types(project) == ["symlink"]
    assert problems(project) == []


def owner(root: Path, **other: object) -> RunOwner:
    """A run of tiny that is written down here: by this process, in all that is not said otherwise."""
    written = replace(run_owner.this_process("snakemake", "tiny"), **other)
    write_json(root / written.file, asdict(written))
    return written


@pytest.fixture
def ended() -> int:
    """The number of a process that is dead."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_process_is_alive_only_on_its_host_in_its_boot_with_its_start(root: Path, ended: int) -> None:
    mine = run_owner.this_process()
    assert mine.state() == "alive"
    assert replace(mine, pid=ended).state() == "dead"
    assert replace(mine, started=mine.started - 60).state() == "dead", "the number was given to another process"
    assert replace(mine, boot="before").state() == "dead", "the host was started anew"
    assert replace(mine, namespace="pid:[1]").state() == "elsewhere"
    assert replace(mine, host="another").state() == "elsewhere"
    zombie = subprocess.Popen(["true"])
    try:
        deadline = time.monotonic() + 30
        while run_owner._first_line(Path(f"/proc/{zombie.pid}/stat")).split()[2] != "Z" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert replace(mine, pid=zombie.pid).state() == "dead"
    finally:
        zombie.wait()


def snakemakes_lock(root: Path) -> Path:
    lock = root / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("artifacts/data/tiny/card.json\n")
    return lock


def test_the_lock_of_a_dead_process_is_taken_over_with_a_line(root: Path, ended: int) -> None:
    dead, said = owner(root, pid=ended), list[str]()
    lock = snakemakes_lock(root)
    takeover.clean_up_dead_runs(root, "tiny", said.append)
    assert said == [f"took over Snakemake's lock of process {ended}, which is dead"]
    assert not lock.exists()
    assert not (root / dead.file).exists()


@pytest.mark.parametrize("other", [{"experiment": "digits", "pid": 1}, {"experiment": "digits", "host": "another"}])
def test_a_lock_that_may_be_a_living_runs_stays(root: Path, ended: int, other: dict[str, object]) -> None:
    owner(root, pid=ended)
    if other.get("pid") == 1:
        started = run_owner.psutil.Process(1).create_time()
        other = {**other, "started": started}
    living = owner(root, **other)
    lock = snakemakes_lock(root)
    takeover.clean_up_dead_runs(root, "tiny", print)
    assert lock.exists(), "it is younger than a run that may be alive"
    assert (root / living.file).exists()
    os.utime(lock, (0, living.started - 60))
    owner(root, pid=ended)
    takeover.clean_up_dead_runs(root, "tiny", print)
    assert not lock.exists(), "it was there before that run began"


def test_a_lock_without_an_owner_is_left_to_the_user(project: Path) -> None:
    lock = snakemakes_lock(project)
    takeover.clean_up_dead_runs(project, "tiny", print)
    assert lock.exists()
    code, said = repository.dcpipe(project, "doctor", "tiny")
    assert code == 1
    assert "snakemake --unlock" in said


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"pid": 1, "started": None}, "process 1 (`snakemake`) runs tiny in this folder; wait until it has ended"),
        ({"host": "node7"}, "on node7 runs tiny in this folder; wait until it has ended; if it was killed: `rm "),
    ],
)
def test_a_run_of_the_same_experiment_is_refused(root: Path, other: dict[str, object], words: str) -> None:
    if "started" in other:
        other = {**other, "started": run_owner.psutil.Process(1).create_time()}
    owner(root, **other)
    with pytest.raises(UserError) as refusal:
        takeover.clean_up_dead_runs(root, "tiny", print)
    assert words in str(refusal.value)


def rwlock(root: Path, pid: int) -> Path:
    entry = {"pid": pid, "cmd": "repro"}
    file = root / ".dvc/tmp/rwlock"
    file.write_text(json.dumps({"write": {"/a": entry}, "read": {"/b": [entry, {**entry, "pid": os.getpid()}]}}))
    return file


def test_dvcs_list_of_files_in_use_loses_the_dead_alone(project: Path, ended: int) -> None:
    file = rwlock(project, ended)
    (project / ".dvc/tmp/rwlock").touch()
    said = dvc_private.remove_stale_locks(project)
    assert said == [f"took over DVC's lock of process {ended} (`dvc repro`), which is dead"]
    left = json.loads(file.read_text())
    assert left["write"] == {}
    assert dvc_private.remove_stale_locks(project) == []


def test_a_number_that_was_given_away_does_not_hold_dvcs_lock(project: Path) -> None:
    file = rwlock(project, os.getpid())
    before = run_owner.this_process().started - 60
    os.utime(file, (before, before))
    assert len(dvc_private.remove_stale_locks(project)) == 1
    file = rwlock(project, os.getpid())
    assert dvc_private.remove_stale_locks(project) == []


def test_dvcs_list_that_was_cut_short_is_removed(project: Path, ended: int) -> None:
    file = rwlock(project, ended)
    text = file.read_text()
    for size in range(len(text)):
        file.write_text(text[:size])
        assert dvc_private.remove_stale_locks(project) == ["removed DVC's list of files in use, which a kill cut short"]
        assert not file.exists()


def test_a_job_leaves_when_its_engine_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = subprocess.Popen(["sleep", "60"]), list[bool]()
    me = run_owner.this_process()
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv(engine_watch.ENVIRONMENT_VARIABLE, engine_watch.key(me.host, me.namespace, engine.pid))
    with engine_watch.watching_engine(lambda: asked.append(True)):
        assert asked == []
        engine.kill()  # not yet waited for: the process is a zombie
        deadline = time.monotonic() + 30
        while not asked and time.monotonic() < deadline:
            time.sleep(0.05)
    engine.wait()
    assert asked == [True]
    with engine_watch.watching_engine(lambda: asked.append(True)):
        deadline = time.monotonic() + 30
        while len(asked) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert asked == [True, True], "it was gone before the job began"


@pytest.mark.parametrize("other", ["another/pid:[1]/1", "", "1", "this process", "a scheduler's job"])
def test_a_job_of_no_engine_of_this_machine_goes_on(other: str, ended: int, monkeypatch: pytest.MonkeyPatch) -> None:
    me, asked = run_owner.this_process(), list[bool]()
    gone = engine_watch.key(me.host, me.namespace, ended)
    monkeypatch.setenv(
        engine_watch.ENVIRONMENT_VARIABLE, {"this process": me.key, "a scheduler's job": gone}.get(other, other)
    )
    if other == "a scheduler's job":
        monkeypatch.setenv("SLURM_JOB_ID", "17")
    with engine_watch.watching_engine(lambda: asked.append(True)):
        assert "engine-watch" not in {thread.name for thread in threading.enumerate()}
    assert asked == []


def test_a_lock_file_holds_a_job_by_command_and_card_alone(made: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made, tmp_path / "root"))
    jobs = [job for job in Graph(root).experiment_jobs("tiny") if not job.is_view]
    assert not dvc_lock.are_recorded(root, ["dvc.yaml"], jobs)
    out = {job.name: {"path": job.outputs["card"], "md5": md5(root / job.outputs["card"])} for job in jobs}
    stages = {job.name: {"cmd": job.command, "outs": [out[job.name]]} for job in jobs}
    dvc_lock.write_lock(root / "dvc.lock", stages)
    assert dvc_lock.are_recorded(root, ["dvc.yaml"], jobs)
    first = jobs[0]
    dvc_lock.write_lock(root / "dvc.lock", stages | {first.name: {**stages[first.name], "cmd": "another"}})
    assert not dvc_lock.are_recorded(root, ["dvc.yaml"], jobs)
    dvc_lock.write_lock(root / "dvc.lock", stages)
    card = root / first.outputs["card"]
    card.write_bytes(card.read_bytes() + b" ")
    assert not dvc_lock.are_recorded(root, ["dvc.yaml"], jobs)


def md5(path: Path) -> str:
    return subprocess.run(["md5sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def test_lock_files_are_those_that_snakemake_writes(root: Path) -> None:
    lock = snakemakes_lock(root)
    (lock.parent / "0.input.lock").touch()
    (lock.parent / "note").touch()
    assert [file.name for file in snakemake_private.lock_files(root)] == ["0.input.lock", "0.output.lock"]
