"""What a run in one process shows: one line for the whole run; each job's log goes to its own file."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcpipe import progress
from dcpipe.commands import status
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.progress_line import ProgressLine
from dcpipe.workflow.run_progress import RunProgress, expected_jobs
from dcpipe.workflow.runner import JobOutcome

FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")


@dataclass(slots=True)
class RunOutput:
    """The line of one run on standard error. With `own_logs`, a job's messages go to `job.log` while it runs."""

    line: ProgressLine
    root: Path
    own_logs: bool
    to_run: frozenset[str]  # the names of the jobs that were not done when it began

    @classmethod
    def for_run(cls, graph: Graph, jobs: Sequence[Job], stages: Collection[str], *, own_logs: bool) -> "RunOutput":
        """The output of a run that makes, of these stages' jobs, what is not done yet, and every view."""
        waiting = [one.job for one in status.job_statuses(graph, jobs) if one.state != "done"]
        to_run = [job for job in (*waiting, *(job for job in jobs if job.is_view)) if job.stage in stages]
        counts = Counter(job.stage for job in to_run)
        state = RunProgress(counts, time.monotonic(), expected_jobs(graph, jobs))
        progress.be_quiet()
        return cls(ProgressLine(state, sys.stderr), graph.root, own_logs, frozenset(job.name for job in to_run))

    def begin(self, job: Job) -> None:
        """A job begins."""
        self.line.update(lambda state, now: state.start(job.name, job.stage, now))
        if self.own_logs:
            path = self.root / job.log
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, mode="a")
            handler.setFormatter(FORMAT)
            self._set_log_handler(handler)

    def end(self, outcome: JobOutcome) -> None:
        """What became of a job is known."""
        name = outcome.job.name
        match outcome.state:
            case "made":
                self.line.update(lambda state, now: state.finish(name, now))
            case "failed":
                self.line.update(lambda state, _: state.fail(name))
            case "stopped":
                self.line.update(lambda state, _: state.interrupt(name))
            case "current" | "skipped" | "blocked" if name in self.to_run:
                self.line.update(lambda state, _: state.remove_one(outcome.job.stage))
        if self.own_logs:
            self._set_log_handler(logging.StreamHandler(sys.stderr))

    def say(self, text: str) -> None:
        """Lines beside the run's own."""
        self.line.say(text)

    def close(self) -> None:
        """The run ended."""
        self.line.close()

    @staticmethod
    def _set_log_handler(handler: logging.Handler) -> None:
        """Send the package's log to one place alone."""
        log = logging.getLogger("dcpipe")
        for other in log.handlers[:]:
            log.removeHandler(other)
            other.close()
        log.addHandler(handler)
