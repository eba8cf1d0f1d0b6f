"""How far a run of many jobs is, and how long the rest of it will take.

The time left is what the remaining jobs are expected to take (`dcpipe.workflow.estimates`: what was measured here, else
an estimate), scaled by how the finished jobs of this run compare with that, and divided by how many run side by side.
A job of which nothing is known takes as long as the mean of its stage; of such a stage, as the mean of all others.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from dcpipe.workflow import machine
from dcpipe.workflow.estimates import Estimates
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

EXPECTED_JOBS = (
    "dcpipe.expected_jobs"  # the logger through which the rules say which jobs there are; see `expected_jobs`
)


class ExpectedJob(NamedTuple):
    """A job's stage, and the seconds it is expected to take; None if nothing is known."""

    stage: str
    seconds: float | None


def expected_jobs(graph: Graph, jobs: Sequence[Job]) -> dict[str, ExpectedJob]:
    """Jobs by name, each with the seconds it is expected to take; nothing is known of views."""
    real = [job for job in jobs if not job.is_view]
    estimates = Estimates(graph, machine.load_machine(graph.root), real)
    seconds = {job.name: estimates.estimate(job).seconds for job in real}
    return {job.name: ExpectedJob(job.stage, seconds.get(job.name)) for job in jobs}


class RunningJob(NamedTuple):
    """A job that runs: its stage, and when it began (seconds of any clock)."""

    stage: str
    at: float


@dataclass(slots=True)
class RunProgress:
    """The jobs of one run: how many of each stage are to be run, which run now, and which are done.

    `known` are the jobs that the run may have, by name; more than are run, where some are current. Times are seconds of
    any one clock.
    """

    to_run: Counter[str]
    began: float
    known: Mapping[str, ExpectedJob] = field(default_factory=dict)
    slots: int = 1  # jobs that can run side by side
    running: dict[str, RunningJob] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    _done: list[tuple[str, str, float]] = field(default_factory=list)  # name, stage, seconds

    @property
    def total(self) -> int:
        """The jobs of this run."""
        return self.to_run.total()

    @property
    def done(self) -> int:
        """The jobs of this run that are finished."""
        return len(self._done)

    @property
    def count_text(self) -> str:
        """How many are done, as in ``3 of 14 jobs``."""
        return f"{self.done} of {jobs_text(self.total)}"

    def start(self, name: str, stage: str, now: float) -> None:
        """A job begins, perhaps for another time."""
        self.failed.discard(name)
        self.running[name] = RunningJob(stage, now)

    def finish(self, name: str, now: float) -> None:
        """A running job is done."""
        stage, began = self.running.pop(name)
        self._done.append((name, stage, now - began))

    def fail(self, name: str) -> None:
        """A job failed."""
        self.running.pop(name, None)
        self.failed.add(name)

    def interrupt(self, name: str) -> None:
        """A running job stopped; another run goes on with it."""
        self.running.pop(name, None)

    def remove_one(self, stage: str) -> None:
        """A job of a stage need not be run after all."""
        self.to_run[stage] -= 1

    def seconds_left(self, now: float) -> float | None:
        """How long the rest will take; None while nothing is known of any job."""
        left = 0.0
        longest = 0.0
        for name, (stage, began) in self.running.items():
            whole = self._expected(name, stage)
            if whole is None:
                return None
            rest = max(whole - (now - began), 0.0)
            left, longest = left + rest, max(longest, rest)
        for stage, count in self._waiting().items():
            mean = self._mean_of_waiting(stage)
            if mean is None:
                return None
            left, longest = left + count * mean, max(longest, mean)
        return max(longest, left / max(1, min(self.slots, self.total - self.done)))

    def _waiting(self) -> Counter[str]:
        begun = Counter(stage for _, stage, _ in self._done) + Counter(stage for stage, _ in self.running.values())
        return self.to_run - begun

    def _mean_of_waiting(self, stage: str) -> float | None:
        seen = self.running.keys() | {name for name, _, _ in self._done}
        waiting = [one.seconds for name, one in self.known.items() if one.stage == stage and name not in seen]
        measured = [seconds for seconds in waiting if seconds is not None]
        return self._scale() * fmean(measured) if measured else self._mean_of_stage(stage)

    def _expected(self, name: str, stage: str) -> float | None:
        before = self.known.get(name, ExpectedJob(stage, None)).seconds
        return self._mean_of_stage(stage) if before is None else self._scale() * before

    def _mean_of_stage(self, stage: str) -> float | None:
        here = [seconds for _, of, seconds in self._done if of == stage]
        before = [one.seconds for one in self.known.values() if one.stage == stage and one.seconds is not None]
        if here:
            return fmean(here)
        if before:
            return self._scale() * fmean(before)
        if self._done:
            return fmean(seconds for _, _, seconds in self._done)
        anywhere = [one.seconds for one in self.known.values() if one.seconds is not None]
        return fmean(anywhere) if anywhere else None

    def _scale(self) -> float:
        """How many times as long as before the jobs of this run take; their start counts here, and not before."""
        pairs = [(seconds, self.known[name].seconds) for name, _, seconds in self._done if name in self.known]
        both = [(now, before) for now, before in pairs if before]
        return sum(now for now, _ in both) / sum(before for _, before in both) if both else 1.0

    def state(self, now: float) -> str:
        """The run in one line."""
        return ", ".join([self.count_text, *self.details(now)])

    def details(self, now: float) -> list[str]:
        """What runs, what failed, and how long the rest will take."""
        parts = []
        if len(self.running) == 1:
            parts.append(f"running {next(iter(self.running))}")
        elif self.running:
            parts.append(f"{len(self.running)} running ({count_stages(one.stage for one in self.running.values())})")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        left = self.seconds_left(now)
        if left is not None and self.done < self.total:
            parts.append(f"about {duration(left)} left")
        return parts


def jobs_text(count: int) -> str:
    """A number of jobs, as in ``1 job`` or ``14 jobs``."""
    return f"{count} job{'' if count == 1 else 's'}"


def count_stages(stages: Iterable[str]) -> str:
    """Stages with how often each comes, as in ``1 distill, 2 evaluate``."""
    return ", ".join(f"{count} {stage}" for stage, count in Counter(stages).items())


def duration(seconds: float) -> str:
    """Seconds as ``45 s``, ``12 min``, ``3 h 20 min`` or ``2 d 5 h``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
