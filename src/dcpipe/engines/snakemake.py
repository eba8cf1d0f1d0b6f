"""The graph as Snakemake sees it: what the rules ask for, and Snakemake as a process."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dcpipe.engines import dvc_lock, dvc_yaml, fork_server, preflight, run_owner, takeover
from dcpipe.errors import DcpipeError, UserError
from dcpipe.params import experiment_file
from dcpipe.params.experiment_file import ExperimentFile
from dcpipe.provenance import code_identity, staleness
from dcpipe.workflow import run_progress
from dcpipe.workflow.estimates import requested_mb
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT, STAGES, Stage

Wildcards = Mapping[str, str]
NO_RECORD = "DCPIPE_NO_RECORD"
MAX_VALUES = 200  # of a job that Snakemake is told one by one


class SnakemakeRules:
    """What the rules of one experiment need; made once when the Snakefile is parsed.

    Snakemake reads its rules again in every process that it starts for a job. Such a process does not plan all jobs
    (`plans_all_jobs` is false): it makes its own alone, and what the first process has checked for all of them is not
    checked again.

    Raises: UserError for an unknown experiment or bad params, before any job exists.
    """

    def __init__(self, config: Mapping[str, object], root: Path, *, plans_all_jobs: bool = True) -> None:
        argument = str(config.get("experiment", DEFAULT_EXPERIMENT))
        file = self._experiment_of_argument(root, argument, plans_all_jobs=plans_all_jobs)
        self.experiment = file.name
        self.is_unrecorded = _is_true(config.get("unrecorded", False))
        unknown = sorted(set(config) - {"experiment", "unrecorded"})
        if unknown:
            remedy = "use experiment=NAME (or the path of an experiment's YAML file) and unrecorded=true only"
            raise UserError(f"unknown key {unknown[0]}", where="--config", remedy=remedy)
        self.root = root
        changed = code_identity.update_file(root) if plans_all_jobs else []
        if changed:
            names = ", ".join(name.removeprefix("modules.") for name in changed[:6])
            sys.stderr.write(f"dcpipe: code identity refreshed: {names}\n")
        self._values: dict[str, tuple[str, ...]] = {}
        self._graph = Graph(root, file.inline_sections)
        self._jobs: dict[str, Job] | None = None
        if plans_all_jobs:
            self._jobs = {job.name: job for job in self._graph.experiment_jobs(self.experiment)}
        written = file.write_definitions() if plans_all_jobs else []
        if written:
            sys.stderr.write(f"dcpipe: wrote {', '.join(written)}\n")
            self._graph = Graph(root)
            self._jobs = {job.name: job for job in self._graph.experiment_jobs(self.experiment)}

    @staticmethod
    def _experiment_of_argument(root: Path, argument: str, *, plans_all_jobs: bool) -> ExperimentFile:
        """The experiment that is asked for; processes of single jobs find it written already."""
        if plans_all_jobs:
            return experiment_file.load_experiment(root, argument)
        return ExperimentFile(root, experiment_file.experiment_name_of_argument(argument))

    @property
    def stages(self) -> list[Stage]:
        """The stages, each after all that it reads."""
        return list(STAGES.values())

    def all_outputs(self) -> list[str]:
        """Every file of the experiment.

        Not just the final ones: Snakemake does not miss an intermediate file that nothing stale needs, so a lost
        artifact would stay lost.
        """
        return [path for job in (self._jobs or {}).values() for path in job.outputs.values()]

    def outputs(self, stage: str) -> dict[str, str]:
        """The outputs' paths with wildcards, by name; the views' are those of this experiment."""
        return STAGES[stage].outputs(self._wildcard_replacements(stage))

    def _wildcard_replacements(self, stage: str) -> dict[str, str]:
        """What the wildcards of a stage are in its rule's paths: themselves, but the paths of views hold none."""
        if STAGES[stage].is_view:
            return {"experiment": self.experiment}
        return {wildcard.name: f"{{{wildcard.name}}}" for wildcard in STAGES[stage].wildcards}

    def job(self, stage: str, wildcards: Wildcards) -> Job:
        """The job of a rule's wildcards.

        Raises: UserError if the experiment has no such job.
        """
        all_wildcards = self._wildcard_replacements(stage) | dict(wildcards.items())
        if self._jobs is None:
            return self._graph.make_job(stage, **all_wildcards)
        label = STAGES[stage].label.format(**all_wildcards)
        if label not in self._jobs:
            remedy = f"the experiment is {self.experiment}; choose another with --config experiment=NAME"
            raise UserError("this experiment has no such job", where=label, remedy=remedy)
        return self._jobs[label]

    def inputs(self, stage: str) -> Callable[[Wildcards], dict[str, list[str]]]:
        """An input function: named inputs of a job."""
        return lambda wildcards: {name: list(paths) for name, paths in self.job(stage, wildcards).inputs.items()}

    def command(self, stage: str) -> Callable[[Wildcards], str]:
        """A params function: the job's one command line."""
        return lambda wildcards: self.job(stage, wildcards).command

    def param_values(self, stage: str) -> list[Callable[[Wildcards], str | None]]:
        """Params functions: every param value (and code digest) that can alter the job's bytes, one text each.

        One param each, because Snakemake names those that changed as its reason, each of them whole. A rule has as many
        as its largest job; a job's last ones, one at least, are None, so that how many there are changes nothing.
        """

        def value(index: int) -> Callable[[Wildcards], str | None]:
            def text(wildcards: Wildcards) -> str | None:
                texts = self._texts(self.job(stage, wildcards))
                return texts[index] if index < len(texts) else None

            return text

        return [value(index) for index in range(self._most_values(stage) + 1)]

    def _most_values(self, stage: str) -> int:
        if self._jobs is None:
            return MAX_VALUES
        return max((len(self._texts(job)) for job in self._jobs.values() if job.stage == stage), default=0)

    def _texts(self, job: Job) -> tuple[str, ...]:
        if job.name not in self._values:
            values = [(f"{file}: {key}", value) for file, values in job.params.items() for key, value in values.items()]
            texts = [f"{key} = {json.dumps(value)}" for key, value in values]
            rest = ["; ".join(texts[MAX_VALUES - 1 :])] if len(texts) >= MAX_VALUES else []
            self._values[job.name] = (*texts[: MAX_VALUES - 1], *rest)
        return self._values[job.name]

    def log(self, stage: str) -> str:
        """The log's path with wildcards."""
        return STAGES[stage].log.format(**self._wildcard_replacements(stage))

    def resource(self, stage: str, name: str) -> Callable[[Wildcards], int]:
        """A resources (or threads) function."""
        return lambda wildcards: int(getattr(self.job(stage, wildcards).resources, name))

    def resources(self, stage: str) -> dict[str, Callable[..., int]]:
        """Resources functions by name; a stage whose jobs never ask for a GPU says nothing of it."""
        gpu = {"gpu": self.resource(stage, "gpu")} if STAGES[stage].resources.gpu else {}
        return {**gpu, "mem_mb": self.memory_with_retries(stage), "runtime": self.resource(stage, "runtime")}

    def memory_with_retries(self, stage: str) -> Callable[[Wildcards, int], int]:
        """A resources function: the memory that a job asks for, as much again with every attempt."""
        return lambda wildcards, attempt: attempt * requested_mb(self._graph, self.job(stage, wildcards))

    def send_expected_jobs(self) -> None:
        """Tell the progress line which jobs there are, and how long each is expected to take."""
        if self._jobs is not None:
            known = run_progress.expected_jobs(self._graph, list(self._jobs.values()))
            listeners = logging.getLogger(run_progress.EXPECTED_JOBS)
            listeners.propagate = False  # it is no text for a terminal
            listeners.info("known jobs", extra={"jobs": known})

    def rerun_reason(self, label: str) -> str | None:
        """Why the artifact of a job is not what params and code say now, as its card tells; None if it is."""
        job = (self._jobs or {}).get(label)
        return None if job is None or job.is_view else staleness.params_or_code_difference(job, self.root)

    def prepare_record(self) -> None:
        """Before the first job: write the dvc.yaml that the record needs."""
        if self._jobs is None or os.environ.get(NO_RECORD):
            return
        for path in dvc_yaml.export_untracked(self._graph, self.experiment):
            say(f"wrote {path}")

    def before_run(self, is_local: bool) -> None:
        """Before Snakemake locks the folder: judge what the run needs around it, and take over what a dead run left.

        Jobs on this machine are then offered forks of one process with all libraries.

        Raises: SystemExit, after a line on standard error that says what to do.
        """
        if os.environ.get(NO_RECORD):
            return
        unrecorded = f"snakemake --config experiment={self.experiment} unrecorded=true"
        try:
            found = preflight.findings(self._graph, self.experiment)
            preflight.refuse_blocked_run(found, record=not self.is_unrecorded, unrecorded=unrecorded)
            takeover.clean_up_dead_runs(self.root, self.experiment, say)
            run_owner.register(self.root, "snakemake", self.experiment)
            if is_local:
                fork_server.enable_forks(self.experiment)
        except DcpipeError as error:
            say(str(error))
            raise SystemExit(error.exit_code) from None

    def after_run(self) -> None:
        """After a successful run, also one with nothing to do: record it in DVC, or say why not.

        A partial run is not an error. What is recorded already is left alone.
        """
        jobs = [job for job in (self._jobs or {}).values() if not job.is_view]
        if os.environ.get(NO_RECORD) or dvc_lock.are_recorded(
            self.root, dvc_yaml.files_with_jobs(self.root, jobs), jobs
        ):
            return
        if self.is_unrecorded:
            say(f"not recorded in DVC, as requested; record it later with `dcpipe record {self.experiment}`")
            return
        done = subprocess.run(
            [sys.executable, "-m", "dcpipe", "record", self.experiment, "--after-run"],
            cwd=self.root,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.returncode)


def _is_true(value: object) -> bool:
    """A value of `--config unrecorded=`: a text, unless it is written as in Python. Raises: UserError."""
    text = str(value).lower()
    if text not in {"true", "false"}:
        raise UserError(f"unrecorded is {value!r}", where="--config", remedy="write unrecorded=true, or leave it out")
    return text == "true"


def say(line: str) -> None:
    """A line of ours beside Snakemake's, on standard error."""
    sys.stderr.write(f"dcpipe: {line}\n")


def run_snakemake(root: Path, experiment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on an experiment without recording, and return what it said."""
    environment = {**os.environ, NO_RECORD: "1"}
    command = [sys.executable, "-m", "snakemake", "--config", f"experiment={experiment}", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
