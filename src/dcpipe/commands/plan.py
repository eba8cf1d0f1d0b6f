"""`dcpipe plan`: what would run and what it will cost, before anything is spent."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcpipe.commands import status
from dcpipe.errors import UserError
from dcpipe.workflow import costs
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: jobs in all, jobs to run, bytes their payloads take at most, and seconds where known.

    `memory_bytes` is what one of them takes: the most that was measured here, else (`measured` is False) the memory
    that it requests of a scheduler.
    """

    stage: str
    jobs: int
    to_run: int
    disk_bytes: int
    memory_bytes: int
    measured: bool
    seconds: float | None


def rows(graph: Graph, experiment: str) -> list[Row]:
    """One row a stage. A job is to run if `dcpipe status` does not call it done.

    Seconds come from what the same jobs, or others of the stage, cost here before; None if none was measured.
    """
    statuses, table = status.experiment_status(graph, experiment), list[Row]()
    for stage in STAGES:
        members = [one.job for one in statuses if one.job.stage == stage]
        if members:
            waiting = [one.job for one in statuses if one.job.stage == stage and one.state != "done"]
            disk = disk_bytes(graph, waiting)
            seconds = _seconds(graph.root, members, waiting)
            table.append(Row(stage, len(members), len(waiting), disk, *_memory(graph.root, members), seconds))
    return table


def lines(table: list[Row], root: Path) -> list[str]:
    """The plan as a table for a terminal, and below it the free disk space."""
    head = f"{'stage':<10}{'jobs':>7}{'to run':>9}{'disk MB':>11}{'memory MB':>12}{'seconds':>11}"
    body = [
        f"{row.stage:<10}{row.jobs:>7}{row.to_run:>9}{row.disk_bytes / 1e6:>11.2f}"
        f"{('' if row.measured else '<') + format(row.memory_bytes / 1e6, '.0f'):>12}{_seconds_text(row.seconds):>11}"
        for row in table
    ]
    disk, times = sum(row.disk_bytes for row in table), [row.seconds for row in table]
    known = sum(time for time in times if time is not None)
    seconds_text = f"{known:.0f}" if None not in times else f"{known:.0f} + ?" if known else "unknown"
    total = f"{'all':<10}{sum(row.jobs for row in table):>7}{sum(row.to_run for row in table):>9}{disk / 1e6:>11.2f}"
    free = f"{free_bytes(root) / 1e9:.1f} GB of disk are free; memory is one job's peak"
    estimated = ", < where none was measured here" if not all(row.measured for row in table) else ""
    return [
        head,
        *body,
        f"{total}{'':>12}{seconds_text:>11}",
        f"{free}{estimated}; seconds are one after the other, here",
    ]


def _seconds_text(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:.0f}"


def free_bytes(root: Path) -> int:
    """Bytes that are free where artifacts are written."""
    place = root / "artifacts"
    return shutil.disk_usage(place if place.exists() else root).free


def refuse_full_disk(table: list[Row], root: Path) -> None:
    """Raises: UserError if a plan's payloads may take more than the free disk space."""
    needed, free = sum(row.disk_bytes for row in table), free_bytes(root)
    if needed > free:
        problem = f"up to {needed / 1e9:.1f} GB will be written; {free / 1e9:.1f} GB are free"
        raise UserError(
            problem, where=str(root.resolve() / "artifacts"), remedy="free some disk space, or use fewer experts"
        )


def disk_bytes(graph: Graph, jobs: Iterable[Job]) -> int:
    """Bytes that the payloads of jobs take at most: before compression."""
    return sum(STAGES[job.stage].disk_bytes(graph, job) for job in jobs)


def _memory(root: Path, members: list[Job]) -> tuple[int, bool]:
    peaks = [int(str(cost["peak_bytes"])) for job in members if (cost := costs.read_costs(root / job.costs))]
    return (max(peaks), True) if peaks else (max(job.resources.mem_mb for job in members) * 10**6, False)


def _seconds(root: Path, members: list[Job], waiting: list[Job]) -> float | None:
    known = {job.name: cost["seconds"] for job in members if (cost := costs.read_costs(root / job.costs))}
    numbers = [float(str(value)) for value in known.values()]
    if not waiting:
        return 0.0
    if not numbers:
        return None
    mean = sum(numbers) / len(numbers)
    return sum(float(str(known.get(job.name, mean))) for job in waiting)
