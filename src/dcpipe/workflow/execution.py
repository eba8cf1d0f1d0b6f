"""One job from its inputs to its published artifact: lock, state, threads, stage, card, costs."""

import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from dcpipe.errors import DcpipeError, JobBusyError, UserError
from dcpipe.provenance import artifact, card
from dcpipe.provenance.checkpoint import State, state_root
from dcpipe.workflow import costs, environment
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES, match
from dcpipe.workflow.task import Task, stopping_on_signals

WAIT_SECONDS = 20.0

log = logging.getLogger("dcpipe")


def execute(
    job: Job,
    root: Path,
    *,
    folder: Path | None = None,
    keep_state: bool = True,
    instead: Callable[[Task], None] | None = None,
) -> dict[str, object]:
    """Run a job and publish its artifact. Returns the card.

    `folder` is where the artifact goes if not to its own place (a rebuild beside it); `keep_state` False
    starts from nothing; `instead` is run in the place of the stage, and what that takes is not the job's cost.

    Raises: UserError if an input is missing, JobBusyError if another process works on the same job.
    """
    started = time.monotonic()
    _require_inputs(job, root)
    environment.refuse(job)
    _forget_peak()
    identity = card.identity(job, root)
    hardware = card.software(job)
    place = folder or root / job.folder
    state_folder = state_root(root) / card.key(identity, hardware)
    if not keep_state:
        state_folder = place / ".state"
    if job.is_numeric:
        from dcpipe import device

        device.prepare(job.resources.threads)
        device.forget_peak()
    with (
        _telling_of_a_full_disk(place, root),
        _alone(job, root),
        _leaving_no_empty_folder(place),
        artifact.drafting(place) as draft,
        stopping_on_signals(),
    ):
        task = Task(job, root, draft, State(state_folder))
        seconds_before = task.state.seconds_before
        if any(state_folder.glob("*.state")):
            log.info("%s: goes on from its saved state", job.name)
        (instead or import_module(job.implementation).run)(task)
        written = draft.publish({**identity, **({"facts": task.facts} if task.facts else {}), "class": hardware})
        task.state.clear()
    if folder is None and instead is None:
        _note_costs(job, root, seconds_before + time.monotonic() - started)
    return written


def lock_file(job: Job, root: Path) -> Path:
    """What a process that works on the job holds the lock of."""
    return state_root(root) / "locks" / f"{job.name}.lock"


def _require_inputs(job: Job, root: Path) -> None:
    for paths in job.inputs.values():
        for path in paths:
            if not (root / path).exists():
                remedy = f"run the stage that makes it, or all of them with `snakemake {job.folder}`"
                raise UserError("this input does not exist", where=path, remedy=remedy)
            _require_own(root, path)


def _require_own(root: Path, path: str) -> None:
    """An input must be what its place says: not an artifact of another dataset, shard or set, nor another kind of file.

    Raises: UserError naming whose it is.
    """
    found = match(path)
    assert found is not None  # noqa: S101 (the graph made the path)
    stage, words = found
    name = Path(path).name
    folders = {payload.file for payload in STAGES[stage].payloads if payload.is_folder}
    if (root / path).is_file() and name in folders:
        remedy = "put the folder back; published .pt experts come in by `dcpipe import-buffers`"
        raise UserError("is a file where a Zarr folder belongs", where=path, remedy=remedy)
    made = artifact.read_card(root / path)
    if made.get("stage") != stage or made.get("job") != words:
        other = made.get("job")
        whose = " ".join(map(str, other.values())) if isinstance(other, dict) else "another job"
        remedy = "restore it with `dvc checkout`, or remove it and run `snakemake`"
        raise UserError(f"is the {made.get('stage')} artifact of {whose}", where=path, remedy=remedy)


@contextmanager
def _leaving_no_empty_folder(place: Path) -> Iterator[None]:
    """A job that fails leaves no folder that looks as if something were there."""
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


@contextmanager
def _telling_of_a_full_disk(place: Path, root: Path) -> Iterator[None]:
    """Raises: DcpipeError naming what is full, if that is why the job fails."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        places = (place, state_root(root))
        folders = [next(folder for folder in (path, *path.parents) if folder.exists()) for path in places]
        fullest = min(folders, key=lambda folder: shutil.disk_usage(folder).free)
        what = "the disk is full; nothing was published"
        raise DcpipeError(what, where=str(fullest), remedy="make room, then the same command goes on") from error


@contextmanager
def _alone(job: Job, root: Path) -> Iterator[None]:
    """Hold the job's lock; the kernel drops it when the process dies."""
    path = lock_file(job, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        _lock(handle.fileno(), path, job)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _lock(handle: int, path: Path, job: Job) -> None:
    deadline, told = time.monotonic() + WAIT_SECONDS, False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip() or "another process"
            if time.monotonic() > deadline:
                remedy = "wait for it to finish, or end it"
                raise JobBusyError(f"process {holder} is working on this job", where=job.name, remedy=remedy) from None
            if not told:
                log.info("%s: process %s is working on this job; waiting", job.name, holder)
                told = True
            time.sleep(0.2)
        else:
            return


def _forget_peak() -> None:
    """What earlier jobs of this process took is not this one's: Linux can measure the resident set anew."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _note_costs(job: Job, root: Path, seconds: float) -> None:
    if job.is_numeric:
        from dcpipe import device

        costs.write(
            root / job.costs,
            seconds=seconds,
            peak_bytes=device.peak_bytes(),
            device=str(device.hardware_class().get("gpu", "cpu")),
        )
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        costs.write(root / job.costs, seconds=seconds, peak_bytes=peak, device="cpu")
