"""`dcpipe plan`: what would run and what it will cost, before anything is spent."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dcpipe.commands import status
from dcpipe.errors import UserError
from dcpipe.workflow import machine
from dcpipe.workflow.estimates import MEMORY_ERROR, SECONDS_ERROR, Estimates, ResourceEstimate
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One stage: jobs in all, jobs to run, and what those take: bytes on disk at most, the most that one of them holds
    in memory, and seconds one after the other; `measured` says of the last two whether all was measured here."""

    stage: str
    jobs: int
    to_run: int
    disk_bytes: int
    memory_bytes: int
    memory_measured: bool
    seconds: float
    seconds_measured: bool


def plan_rows(graph: Graph, experiment: str) -> list[PlanRow]:
    """One row per stage. A job is to run if `dcpipe status` does not call it done.

    Where no job of the same work was measured here, memory and seconds are estimates; the first plan on a machine
    measures its speed, in some seconds.
    """
    statuses, table = status.experiment_status(graph, experiment), list[PlanRow]()
    waiting = [one.job for one in statuses if one.state != "done"]
    found = _estimate_resources(graph, [one.job for one in statuses], waiting)
    for stage in STAGES:
        members = [one.job for one in statuses if one.job.stage == stage]
        if members:
            to_run = [job for job in waiting if job.stage == stage]
            each = [found[job.name] for job in to_run or members]
            table.append(
                PlanRow(
                    stage,
                    len(members),
                    len(to_run),
                    disk_bytes(graph, to_run),
                    max(one.memory_bytes for one in each),
                    all(one.memory_measured for one in each),
                    sum(one.seconds for one in each) if to_run else 0.0,
                    all(one.seconds_measured for one in each) or not to_run,
                )
            )
    return table


def _estimate_resources(graph: Graph, jobs: list[Job], waiting: list[Job]) -> dict[str, ResourceEstimate]:
    found = Estimates(graph, machine.load_machine(graph.root), jobs)
    expected = {job.name: found.estimate(job) for job in jobs}
    if all(expected[job.name].memory_measured for job in waiting):
        return expected
    found.machine = machine.measure_machine(graph.root)
    return {job.name: found.estimate(job) for job in jobs}


def plan_lines(table: list[PlanRow], root: Path) -> list[str]:
    """The plan as a table for a terminal, and below it the free disk space."""
    head = f"{'stage':<10}{'jobs':>7}{'to run':>9}{'disk MB':>11}{'memory MB':>12}{'seconds':>11}"
    body = [
        f"{row.stage:<10}{row.jobs:>7}{row.to_run:>9}{row.disk_bytes / 1e6:>11.2f}"
        f"{_approximate_text(row.memory_bytes / 1e6, row.memory_measured):>12}"
        f"{_approximate_text(row.seconds, row.seconds_measured):>11}"
        for row in table
    ]
    disk, time = sum(row.disk_bytes for row in table), sum(row.seconds for row in table)
    total = f"{'all':<10}{sum(row.jobs for row in table):>7}{sum(row.to_run for row in table):>9}{disk / 1e6:>11.2f}"
    time_text = _approximate_text(time, all(row.seconds_measured for row in table))
    free = (
        f"{free_bytes(root) / 1e9:.1f} GB of disk are free; memory is one job's peak, seconds are one after the other"
    )
    estimated = [
        f"~ is an estimate from the shapes: memory {MEMORY_ERROR}, seconds {SECONDS_ERROR}; the rest was measured here"
    ]
    is_estimated = not all(row.memory_measured and row.seconds_measured for row in table)
    return [head, *body, f"{total}{'':>12}{time_text:>11}", free, *(estimated if is_estimated else [])]


def _approximate_text(number: float, measured: bool) -> str:
    """A number; if it is an estimate, to two places and marked."""
    if measured:
        return f"{number:.0f}"
    digits = max(0, len(str(int(number))) - 2)
    return f"~{round(number, -digits):.0f}"


def free_bytes(root: Path) -> int:
    """Bytes that are free where artifacts are written."""
    place = root / "artifacts"
    return shutil.disk_usage(place if place.exists() else root).free


def refuse_full_disk(table: list[PlanRow], root: Path) -> None:
    """Raises: UserError if a plan's payloads may take more than the free disk space."""
    refuse_insufficient_space(sum(row.disk_bytes for row in table), root)


def refuse_insufficient_space(needed: int, root: Path) -> None:
    """Raises: UserError if so many bytes are more than the free disk space."""
    free = free_bytes(root)
    if needed > free:
        problem = f"up to {needed / 1e9:.1f} GB will be written; {free / 1e9:.1f} GB are free"
        raise UserError(
            problem, where=str(root.resolve() / "artifacts"), remedy="free some disk space, or use fewer experts"
        )


def disk_bytes(graph: Graph, jobs: Iterable[Job]) -> int:
    """Bytes that the payloads of jobs take at most: before compression."""
    return sum(STAGES[job.stage].disk_bytes(graph, job) for job in jobs)
