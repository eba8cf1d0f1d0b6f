"""The results of a rehearsal: a table for people, and JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from dcpipe.commands.rehearsal.job_kinds import JobKind
from dcpipe.commands.rehearsal.rehearse import RehearsalResult
from dcpipe.errors import UserError

LOADED_RATIO = 1.3  # wall time by CPU time from which a machine counts as loaded


def parse_device_counts(text: str) -> tuple[int, ...]:
    """Numbers of devices, for example ``1,8,64``. Raises: UserError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(
            f"{text!r} is not a list of numbers above 0", where="--devices", remedy="write for example 1,8,64"
        )
    return tuple(map(int, parts))


def hours_on(results: Sequence[RehearsalResult], devices: int) -> float:
    """The least number of hours on so many devices, stage after stage, a job on one device."""
    total = 0.0
    for stage in dict.fromkeys(one.stage for one in results):
        rows = [one for one in results if one.stage == stage]
        work = sum(one.jobs * one.seconds_per_job for one in rows)
        total += max(work / devices, *(one.seconds_per_job for one in rows))
    return total / 3600


def table_head(kinds: Sequence[JobKind]) -> str:
    """The titles of a table for a terminal."""
    return f"{'kind':<{_width(kinds)}}{'jobs':>6}{'steps':>8}{'s per step':>11}{'hours':>10}{'peak MB':>9}"


def kind_line(result: RehearsalResult, kinds: Sequence[JobKind]) -> str:
    """What one of the kinds took."""
    hours = result.jobs * result.seconds_per_job / 3600
    known = f"{result.seconds_per_step:>11.4g}{hours:>10.4g}{result.peak_bytes / 1e6:>9.0f}"
    outcome = f"  not tried: {result.problem}" if result.problem else known
    return f"{result.kind:<{_width(kinds)}}{result.jobs:>6}{result.steps:>8}{outcome}"


def _width(kinds: Sequence[JobKind]) -> int:
    return max([len("kind"), *(len(kind.name) for kind in kinds)])


def total_lines(results: Sequence[RehearsalResult], disk_bytes: int, devices: Sequence[int]) -> list[str]:
    """The whole experiment, and the kinds that could not be tried."""
    hours = ", ".join(f"{hours_on(results, count):.4g} h on {count}" for count in devices)
    jobs, missing = sum(one.jobs for one in results), [one.kind for one in results if one.problem]
    lines = [f"{jobs} jobs, at least {hours}; {disk_bytes / 1e9:.4g} GB of artifacts at most"]
    return machine_load_warning(results) + lines + ([f"without {', '.join(missing)}"] if missing else [])


def machine_load_warning(results: Sequence[RehearsalResult]) -> list[str]:
    """One line if the machine did other work meanwhile; none if it did not."""
    wall, cpu = sum(one.wall_seconds for one in results), sum(one.cpu_seconds for one in results)
    if cpu == 0 or wall < LOADED_RATIO * cpu:
        return []
    spent = f"{wall:.1f} s of wall time for {cpu:.1f} s of CPU time"
    return [f"the machine is loaded: {spent}; on a CPU the hours are from CPU time, as on a machine of your own"]


def rehearsal_json(results: Sequence[RehearsalResult], disk_bytes: int, devices: Sequence[int]) -> str:
    """The same for programs."""
    hours = {str(count): round(hours_on(results, count), 4) for count in devices}
    return json.dumps({"hours": hours, "disk_bytes": disk_bytes, "kinds": [asdict(one) for one in results]}, indent=1)
