"""Snakemake's log records as one line for the run, and a few lines for what goes wrong."""

import logging
import re
import sys
import time
from collections import Counter
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from dcpipe.workflow.progress_line import ProgressLine
from dcpipe.workflow.run_progress import EXPECTED_JOBS, ExpectedJob, RunProgress, count_stages, duration, jobs_text

TARGETS = {"all", "project"}  # rules that only name what is wanted
LAST_LINES = 8  # of a failed job's log
STARTING = (  # what Snakemake says of itself before it runs
    "Using ",
    "Assuming unrestricted shared filesystem",
    "host:",
    "Building DAG of jobs",
    "Group jobs: inactive",
    "Processed ",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Select jobs to execute",
)
# a job that said what is wrong; its name, its command's log and that line are shown for it anyway
SAID_BY_THE_JOB = re.compile(r"RuleException:.*returned non-zero exit status [12]\.\s*\Z", re.DOTALL)
WORTH_SAYING = ("Trying to restart", "Terminating processes", "Will exit after", "Complete log(s)")


class LogHandler(LogHandlerBase):
    """See `snakemake_interface_logger_plugins.base.LogHandlerBase`.

    Snakemake's own formatter is always set; its filter where its usual output is asked for.
    """

    def __post_init__(self) -> None:
        asked = self.common_settings
        quiet = {str(getattr(one, "name", one)).lower() for one in asked.quiet or ()}
        self._as_usual = bool(asked.dryrun or asked.verbose or asked.printshellcmds or asked.debug_dag)
        self._silent, self._without_line = "all" in quiet, "progress" in quiet
        self._stream = sys.stdout if asked.stdout else sys.stderr
        self._line: ProgressLine | None = None
        self._slots = 1
        self._names: dict[object, str] = {}  # of jobs, by Snakemake's number
        self._known: dict[str, ExpectedJob] = {}
        expected_jobs = logging.getLogger(EXPECTED_JOBS)
        expected_jobs.setLevel(logging.INFO)
        expected_jobs.addHandler(self)

    @property
    def writes_to_stream(self) -> bool:
        """It does, so that Snakemake's own handler is not used."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log file stays what it is."""
        return False

    @property
    def has_filter(self) -> bool:
        """What is shown is decided here, unless Snakemake's usual output is asked for."""
        return not self._as_usual

    @property
    def has_formatter(self) -> bool:
        """Other lines are Snakemake's."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """The numbers of jobs are enough."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or what it changes. An error in here must not stop the run."""
        try:
            if record.name == EXPECTED_JOBS:
                self._known = getattr(record, "jobs", {})
            elif self._as_usual:
                self._write_as_usual(record)
            elif not self._silent:
                self._show(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """The run ended, or nothing was run."""
        logging.getLogger(EXPECTED_JOBS).removeHandler(self)
        self._end()
        super().close()

    def _write_as_usual(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if text and text != "None":
            blank = "\n" if getattr(record, "event", None) == LogEvent.JOB_INFO else ""
            self._write(f"{blank}{text}")

    def _show(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        match fields.get("event"):
            case LogEvent.RESOURCES_INFO:
                self._slots = int(fields.get("cores") or fields.get("nodes") or self._slots)
            case LogEvent.RUN_INFO if fields.get("stats"):
                self._begin(fields["stats"])
            case LogEvent.JOB_INFO if fields["rule_name"] not in TARGETS:
                self._started(fields)
            case LogEvent.JOB_FINISHED:
                self._finished(fields["job_id"])
            case LogEvent.JOB_ERROR:
                self._failed(fields)
            case LogEvent.GROUP_ERROR:
                pass  # each of its jobs follows
            case None | LogEvent.ERROR:
                self._show_other_text(record)

    def _begin(self, stats: dict[str, int]) -> None:
        stages = list(dict.fromkeys(one.stage for one in self._known.values()))  # each after those it reads
        ordered = sorted(stats, key=lambda rule: stages.index(rule) if rule in stages else len(stages))
        rules = Counter({rule: stats[rule] for rule in ordered if rule not in {*TARGETS, "total"}})
        if not rules or self._line is not None:
            return
        began = time.monotonic()
        progress = RunProgress(rules, began, self._known, max(1, self._slots))
        left = progress.seconds_left(began)
        how_long = f", about {duration(left)}" if left is not None else ""
        jobs = f"{jobs_text(progress.total)} to run ({count_stages(rules.elements())})"
        self._write(f"{jobs}, {progress.slots} at a time{how_long}; each writes its log below logs/")
        if not self._without_line:
            self._line = ProgressLine(progress, self._stream)

    def _started(self, fields: dict[str, object]) -> None:
        logs = fields["log"]
        first = str(logs[0]) if isinstance(logs, list) and logs else ""
        name = Path(first).stem or f"{fields['rule_name']} {fields['jobid']}"
        self._names[fields["jobid"]] = name
        if self._line is not None:
            self._line.update(lambda progress, now: progress.start(name, str(fields["rule_name"]), now))

    def _finished(self, job: object) -> None:
        name = self._names.get(job)
        if self._line is not None and name is not None:
            self._line.update(lambda progress, now: progress.finish(name, now))
            if self._line.is_complete:
                self._end()

    def _failed(self, fields: dict[str, object]) -> None:
        name = self._names.get(fields["jobid"], str(fields["rule_name"]))
        if self._line is not None:
            self._line.update(lambda progress, _: progress.fail(name))
        logs = fields["log"]
        text = [f"{name} failed (rule {fields['rule_name']})"]
        if fields.get("rule_msg"):  # a cluster's word for it, such as TIMEOUT, and then where else to look
            text.append(f"  {str(fields['rule_msg']).partition('. ')[0]}")
        for log in logs if isinstance(logs, list) else []:
            text += [f"  the end of {log}:", *(f"    {line}" for line in last_lines(Path(log)))]
        self._write("\n".join(text))

    def _show_other_text(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self._line is not None and SAID_BY_THE_JOB.match(text):
            return
        chatter = text.startswith(STARTING) if self._line is None else not text.startswith(WORTH_SAYING)
        if text and text != "None" and (record.levelno >= logging.WARNING or not chatter):
            self._write(text)

    def _write(self, text: str) -> None:
        if self._line is not None:
            self._line.say(text)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()


def last_lines(log: Path) -> list[str]:
    """The last lines of a job's log, or why there are none."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    except OSError:
        return ["(it was not written: the job ended before it began to log)"]
    return lines or ["(empty)"]
