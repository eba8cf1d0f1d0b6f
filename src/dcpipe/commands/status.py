"""`dcpipe status`: what of an experiment is done, running, stale or missing, read from the artifacts themselves.

Jobs hold their locks by filelock, which is flock underneath. Here the lock is only tested, by flock itself:
filelock has exclusive locks alone, so two tests at once would each see a running job, and a job that starts at that
moment would be refused; and filelock creates the file, while a test should write nothing.
"""

import fcntl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dcpipe.provenance import artifact, staleness
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.state_folder import lock_file

State = Literal["done", "running", "stale", "missing"]


@dataclass(frozen=True, slots=True)
class Status:
    """One job's state, and why it is not done."""

    job: Job
    state: State
    why: str = ""


def experiment_status(graph: Graph, experiment: str) -> list[Status]:
    """The state of every job, views left out.

    `stale` is an artifact that exists, but was made by other params, code or inputs, or whose inputs will be made
    again; `missing` one that does not exist, or was never finished; `running` one that a process works on.
    Raises: UserError for an unknown experiment or bad params.
    """
    return job_statuses(graph, graph.experiment_jobs(experiment))


def job_statuses(graph: Graph, jobs: Iterable[Job]) -> list[Status]:
    """The state of each of these jobs, views left out; they come with all that they need, in an order to run in."""
    statuses: dict[str, Status] = {}
    for job in jobs:
        if not job.is_view:
            makers = (graph.job_that_makes(path).name for paths in job.inputs.values() for path in paths)
            waits_for = next((name for name in makers if statuses[name].state != "done"), None)
            statuses[job.name] = _job_status(job, graph.root, waits_for)
    return list(statuses.values())


def _job_status(job: Job, root: Path, waits_for: str | None) -> Status:
    if is_running(job, root):
        return Status(job, "running")
    if not (root / job.folder / artifact.CARD).is_file():
        return Status(job, "missing", f"waits for {waits_for}" if waits_for else "can be made now")
    problem = staleness.staleness_problem(job, root)
    if waits_for or problem:
        return Status(job, "stale", f"waits for {waits_for}" if waits_for else str(problem))
    return Status(job, "done")


def is_running(job: Job, root: Path) -> bool:
    """Whether a process holds the job's lock."""
    try:
        with lock_file(job, root).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # released when the file is closed
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def status_lines(statuses: Sequence[Status], *, every_job: bool = False) -> list[str]:
    """A table, a row per stage; with `every_job` also what is not done, job by job, and why."""
    states: tuple[State, ...] = get_args(State)
    table = [f"{'stage':<10}{'jobs':>7}" + "".join(f"{state:>9}" for state in states)]
    for stage in [*dict.fromkeys(one.job.stage for one in statuses), None]:
        own = [one for one in statuses if stage in {one.job.stage, None}]
        counts = "".join(f"{sum(one.state == state for one in own):>9}" for state in states)
        table.append(f"{stage or 'all':<10}{len(own):>7}{counts}")
    if not every_job:
        return table
    return [*table, "", *(f"{one.state:<8} {one.job.name}{f': {one.why}' if one.why else ''}" for one in statuses)]
