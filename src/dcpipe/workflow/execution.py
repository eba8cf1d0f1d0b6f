"""One job from its inputs to its published artifact: lock, state, threads, stage, card, costs."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from dcpipe.errors import DcpipeError, JobBusyError, UserError
from dcpipe.loggers.run_logger import Run, open_loggers, openers
from dcpipe.provenance import artifact, card, damage, durable, staleness
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow import costs, engine_watch, environment
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES, match_stage
from dcpipe.workflow.state_folder import lock_file, state_root
from dcpipe.workflow.stopping import request_stop, stopping_on_signals
from dcpipe.workflow.task import Task

WAIT_SECONDS = 20.0

log = logging.getLogger("dcpipe")


def execute_job(
    job: Job,
    root: Path,
    *,
    folder: Path | None = None,
    keep_state: bool = True,
    run_instead: Callable[[Task], None] | None = None,
) -> dict[str, object]:
    """Run a job and publish its artifact. Returns the card.

    `folder` is where the artifact goes if not to its own place (a rebuild beside it); `keep_state` False
    ignores saved state; `run_instead` runs in place of the stage, and its time does not count as the job's cost.

    Raises: UserError if an input is missing, JobBusyError if another process works on the same job.
    """
    started, cpu_started = time.monotonic(), _cpu_seconds()
    _require_inputs(job, root)
    environment.require_environment(job)
    openers()  # a logger that is not there is refused before anything is spent
    _forget_peak()
    place = folder or root / job.folder
    if job.is_machine_dependent:
        from dcpipe import device

        device.configure_torch(job.resources.threads)
        device.reset_peak_memory()
    with (
        durable.explaining_full_disk((place, state_root(root)), "nothing was published"),
        _job_lock(job, root),
        _removing_empty_folder(place),
        artifact.draft_artifact(place) as draft,
        stopping_on_signals(),
        engine_watch.watching_engine(request_stop),
    ):
        identity, hardware = card.identity(job, root), card.machine_class(job)
        state_folder = state_root(root) / card.state_key(identity, hardware) if keep_state else place / ".state"
        state = ResumeState(state_folder)
        task = Task(job, root, draft, state, facts=state.facts)
        seconds_before = task.state.seconds_before
        if any(state_folder.glob("*.state")):
            log.info("%s: resumes from its saved state", job.name)
        with open_loggers(Run(job.name, job.stage, job.wildcards, root)):
            (run_instead or import_module(job.implementation).run)(task)
        _refuse_changed_inputs(job, root, identity)
        written = draft.publish({**identity, **({"facts": task.facts} if task.facts else {}), "class": hardware})
        task.state.clear()
    if folder is None and run_instead is None:
        cpu_seconds = None if seconds_before else _cpu_seconds() - cpu_started
        _note_costs(job, root, seconds_before + time.monotonic() - started, cpu_seconds)
    return written


def _refuse_changed_inputs(job: Job, root: Path, identity: dict[str, object]) -> None:
    """Raises: DcpipeError if an input was made again, or removed, while the job ran."""
    remedy = "wait until nothing else makes its inputs, then start the same command again"
    try:
        there = card.identity(job, root)
    except DcpipeError as error:
        problem = f"an input was removed while it was read ({error.problem}); nothing was published"
        raise DcpipeError(problem, where=error.where or job.name, remedy=remedy) from error
    problem = staleness.first_difference(identity, there)
    if problem:
        text = f"an input was made again while it was read{problem}; nothing was published"
        raise DcpipeError(text, where=job.name, remedy=remedy)


def _require_inputs(job: Job, root: Path) -> None:
    for paths in job.inputs.values():
        for path in paths:
            if not (root / path).exists():
                remedy = f"run the stage that makes it, or all with `snakemake -- {job.outputs['card']}`"
                raise UserError("this input does not exist", where=path, remedy=remedy)
            _refuse_misplaced_input(root, path)


def _refuse_misplaced_input(root: Path, path: str) -> None:
    """An input must belong at its path: no artifact of another dataset, shard or set, and no other kind of file.

    Raises: UserError naming the job that it belongs to.
    """
    made_by = match_stage(path)
    if made_by is None:
        raise UserError("no stage makes this input", where=path, remedy="name an artifact of a stage in the job's plan")
    stage, wildcards = made_by
    name = Path(path).name
    folders = {payload.file for payload in STAGES[stage].payloads if payload.is_folder}
    if (root / path).is_file() and name in folders:
        remedy = "put the folder back; published .pt experts come in by `dcpipe import-buffers`"
        raise UserError("is a file where a Zarr folder belongs", where=path, remedy=remedy)
    there = artifact.read_card(root / path)
    if there.get("stage") != stage or there.get("job") != wildcards:
        other = there.get("job")
        owner = " ".join(map(str, other.values())) if isinstance(other, dict) else "another job"
        problem = f"is the {there.get('stage')} artifact of {owner}"
        raise UserError(problem, where=path, remedy=damage.remedy(root / path))


@contextmanager
def _removing_empty_folder(place: Path) -> Iterator[None]:
    """A job that fails leaves no empty folder behind."""
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


@contextmanager
def _job_lock(job: Job, root: Path) -> Iterator[None]:
    """Hold the job's lock, with this process's number in it; the kernel releases it when the process dies.

    Never a soft lock, which would outlive its process: a file system without flock is an error.
    """
    path = lock_file(job, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    _acquire_lock(lock, path, job)
    try:
        path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _acquire_lock(lock: BaseFileLock, path: Path, job: Job) -> None:
    """Wait for the job's lock for a while. Raises: JobBusyError naming the process that holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: process %s is working on this job; waiting", job.name, _lock_holder(path))
    else:
        return
    try:
        lock.acquire(timeout=WAIT_SECONDS, poll_interval=0.2)
    except Timeout:
        problem = f"process {_lock_holder(path)} is working on this job"
        raise JobBusyError(problem, where=job.name, remedy="wait until it has finished, or end it") from None


def _lock_holder(path: Path) -> str:
    return path.read_text().strip() or "another process"


def _forget_peak() -> None:
    """Reset the peak of the resident set, which Linux allows: memory of earlier jobs of this process does not count."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _cpu_seconds() -> float:
    """User and system time of this process, its threads and the children that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _note_costs(job: Job, root: Path, seconds: float, cpu_seconds: float | None) -> None:
    """Note what a job took. Where that cannot be written the artifact is there all the same, and stays."""
    if job.is_machine_dependent:
        from dcpipe import device

        peak, name = device.peak_bytes(), str(device.hardware_class().get("gpu", "cpu"))
    else:
        import resource

        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "cpu"
    try:
        costs.write_costs(root / job.costs_path, seconds=seconds, peak_bytes=peak, device=name, cpu_seconds=cpu_seconds)
    except OSError as error:
        reason = error.strerror or str(error)
        log.warning("%s cannot be written (%s); %s is published all the same", job.costs_path, reason, job.folder)
