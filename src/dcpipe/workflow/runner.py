"""`dcpipe run`: an experiment's jobs one after the other in one process, without an engine.

A job runs if the artifact at its place is not its own as params, code and inputs stand now, so the same call goes
on where another was stopped. Nothing is recorded here: the command does that afterwards.
"""

import logging
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Literal

from dcpipe.errors import Interrupted, UserError
from dcpipe.provenance import code_identity, staleness
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES
from dcpipe.workflow.stopping import stop_requested, stopping_on_signals

log = logging.getLogger("dcpipe")

State = Literal["made", "current", "failed", "blocked", "stopped", "left", "skipped"]
WAITING = {"stopped", "left"}  # another call takes these up
ABSENT = {*WAITING, "failed", "blocked"}  # what needs one of these cannot run


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What became of a job: `error` if it failed, else `text` says why it is not made, or is what a view prints."""

    job: Job
    state: State
    seconds: float = 0.0
    error: Exception | None = None
    text: str = ""


def parse_stage_names(text: str | None = None) -> tuple[str, ...]:
    """The stages that a list such as ``data,experts`` names; all for None. Raises: UserError."""
    if text is None:
        return tuple(STAGES)
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in STAGES:
            near = get_close_matches(name, STAGES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(STAGES)}"
            raise UserError(f"there is no stage {name!r}", where="--stages", remedy=hint)
    return names


@dataclass(slots=True)
class ExperimentRunner:
    """One call of `dcpipe run`; `begin` is told of each job before it runs."""

    graph: Graph
    stages: Collection[str] = field(default_factory=parse_stage_names)
    begin: Callable[[Job], None] = lambda _: None
    _absent: dict[str, State] = field(default_factory=dict)

    def run_experiment(self, experiment: str, budget_seconds: float | None = None) -> Iterator[JobOutcome]:
        """What becomes of each job of the chosen stages, as it becomes known, in an order in which they can run.

        A job that fails takes along what needs it, and nothing else. At the end of the budget the running job is
        asked to save its state and stop, and no other is begun.

        Raises: UserError for an unknown experiment or bad params, before any job runs.
        """
        yield from self.run_jobs(self.graph.experiment_jobs(experiment), budget_seconds)

    def run_jobs(self, jobs: list[Job], budget_seconds: float | None = None) -> Iterator[JobOutcome]:
        """The same of jobs that come with all that they need, in an order in which they can run."""
        stale = code_identity.outdated_keys(self.graph.root)
        if stale:
            log.warning("%s is stale: `dcpipe graph export`", code_identity.FILE)
        needed = self._selected_job_names(jobs)
        with stopping_on_signals(after_seconds=budget_seconds):
            for job in jobs:
                if job.name not in needed:
                    continue
                outcome = self._process_job(job)
                if outcome.state in ABSENT:
                    self._absent[job.name] = outcome.state
                if job.stage in self.stages:
                    yield outcome

    def _selected_job_names(self, jobs: list[Job]) -> set[str]:
        """The names of the jobs of the chosen stages, and of those they need."""
        needed: set[str] = set()
        for job in reversed(jobs):
            if job.stage in self.stages or job.name in needed:
                needed |= {job.name, *(needed_job.name for needed_job in self._jobs_needed_by(job))}
        return needed

    def _jobs_needed_by(self, job: Job) -> Iterator[Job]:
        return (self.graph.job_that_makes(path) for paths in job.inputs.values() for path in paths)

    def _process_job(self, job: Job) -> JobOutcome:
        lacking = next(
            (needed_job for needed_job in self._jobs_needed_by(job) if needed_job.name in self._absent), None
        )
        if lacking is not None:
            waits = self._absent[lacking.name] in WAITING
            return JobOutcome(job, "left" if waits else "blocked", text=self._missing_input_text(lacking))
        if not job.is_view and staleness.staleness_problem(job, self.graph.root) is None:
            return JobOutcome(job, "current")
        if job.stage not in self.stages:
            return JobOutcome(job, "blocked")
        if stop_requested():
            return JobOutcome(job, "left")
        return self._run(job)

    def _missing_input_text(self, lacking: Job) -> str:
        if lacking.stage in self.stages:
            return f"needs {lacking.name}"
        return f"needs {lacking.name}, which is not current: add {lacking.stage} to --stages"

    def _run(self, job: Job) -> JobOutcome:
        started = time.monotonic()
        state: State = "made"
        error, text = None, ""
        self.begin(job)
        try:
            if job.is_view:
                state, text = self._view(job)
            else:
                execute_job(job, self.graph.root)
        except Interrupted:
            state = "stopped"
        except Exception as raised:  # whatever it is, what does not need this job can go on
            traceback.clear_frames(raised.__traceback__)  # or the error would keep the job's tensors
            state, error = "failed", raised
        return JobOutcome(job, state, time.monotonic() - started, error, text)

    def _view(self, job: Job) -> tuple[State, str]:
        from dcpipe.report import figures

        for package in figures.missing_packages():
            return "skipped", f"{package} is not installed: `pip install 'dcpipe[report]'`"
        return "made", import_module(job.implementation).run(job, self.graph.root, self.graph)


@dataclass(slots=True)
class OutcomeSummary:
    """What a person is told of a run, and its exit code."""

    outcomes: list[JobOutcome] = field(default_factory=list)

    def add_outcome(self, outcome: JobOutcome) -> str | None:
        """What to say of a job now; None for those of which only the number matters."""
        self.outcomes.append(outcome)
        name, seconds = outcome.job.name, f"{outcome.seconds:.1f} s"
        match outcome.state:
            case "stopped":
                return f"{name}: stopped after {seconds}; the next run goes on from what was saved"
            case "blocked" | "skipped":
                return f"{name}: not made; {outcome.text}"
        return None

    def table(self) -> list[str]:
        """What became of each stage's jobs, a line per stage."""
        kinds: tuple[State, ...] = ("made", "current", "failed", "blocked", "skipped", "stopped", "left")
        seen = [kind for kind in kinds if kind in {"made", "current"} or self._outcomes_in({kind})]
        lines = [f"{'stage':<10}" + "".join(f"{kind:>9}" for kind in seen) + f"{'seconds':>10}"]
        for stage in dict.fromkeys(outcome.job.stage for outcome in self.outcomes):
            own = [outcome for outcome in self.outcomes if outcome.job.stage == stage]
            counts = "".join(f"{sum(outcome.state == kind for outcome in own):>9}" for kind in seen)
            lines.append(f"{stage:<10}{counts}{sum(outcome.seconds for outcome in own):>10.1f}")
        return lines

    def summary(self) -> str:
        """The run in one line."""
        counts = {
            state: len(self._outcomes_in({state})) for state in ("made", "current", "failed", "blocked", "skipped")
        }
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        parts = [f"{counts[state]} {state}" for state in counts if counts[state] or state in {"made", "current"}]
        waiting = self._outcomes_in(WAITING)
        if waiting:
            parts.append(f"{len(waiting)} left (from {waiting[0].job.name} on; the same command continues)")
        return f"{', '.join(parts)}: {seconds:.1f} s"

    @property
    def exit_code(self) -> int:
        """75 if another call has something to go on with, else 1 if a job failed or lacked what it needs, else 0."""
        if self._outcomes_in(WAITING):
            return Interrupted.exit_code
        return 1 if self._outcomes_in({"failed", "blocked"}) else 0

    def _outcomes_in(self, states: Collection[str]) -> list[JobOutcome]:
        return [outcome for outcome in self.outcomes if outcome.state in states]
