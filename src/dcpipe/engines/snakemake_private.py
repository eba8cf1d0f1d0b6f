"""Everything of Snakemake that is called inside this process. Part of it is private, so the version is checked."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dcpipe.engines.tested_version import TestedEngine
from dcpipe.workflow.stages import STAGES

ENGINE = TestedEngine("Snakemake", "snakemake", "9.27")


class Workflow(Protocol):
    """What the rules know as `workflow`."""

    execute: Callable[..., bool]
    dag: "Dag"
    _build_dag: Callable[[], None]
    async_run: Callable[[object], object]

    @property
    def is_main_process(self) -> bool: ...

    @property
    def execution_settings(self) -> "ExecutionSettings": ...


class Dag(Protocol):
    """Snakemake's graph of jobs; whether one is to run; and the files whose jobs are to run whatever it thinks."""

    forcefiles: set[str]
    needrun: Callable[["DagJob"], object]
    postprocess: Callable[[], object]

    @property
    def jobs(self) -> Iterable["DagJob"]: ...


class DagJob(Protocol):
    """One of its jobs."""

    log: Sequence[str]
    output: Sequence[str]
    rule: "Rule"


class Rule(Protocol):
    """A rule, which is a stage of ours."""

    name: str


class ExecutionSettings(Protocol):
    """What a run was asked for: `--no-hooks`."""

    @property
    def no_hooks(self) -> bool: ...


class Plugin(Protocol):
    """An executor's package."""

    @property
    def common_settings(self) -> "CommonSettings": ...


class CommonSettings(Protocol):
    """Whether an executor only pretends (`--dry-run`, `--touch`), and whether its jobs run on this machine."""

    @property
    def dryrun_exec(self) -> bool: ...

    @property
    def touch_exec(self) -> bool: ...

    @property
    def local_exec(self) -> bool: ...


def is_first_process(workflow: Workflow) -> bool:
    """Whether this is the process that a person started, and not one of those that Snakemake starts for a job."""
    return workflow.is_main_process


def around_run(workflow: Workflow, before: Callable[[bool], None], after: Callable[[], None]) -> None:
    """Let a run of Snakemake that makes files begin with `before`, and a successful one end with `after`.

    `before` is told whether the jobs run on this machine.

    Snakemake's own hooks are not called where there is nothing to be done, and not before it locks the folder. A dry
    run, `--touch` and Snakemake's other verbs are left alone, and `--no-hooks` leaves out `after`.
    """
    execute = workflow.execute

    def run(*, executor_plugin: Plugin, **settings: object) -> bool:
        kind = executor_plugin.common_settings
        if kind.dryrun_exec or kind.touch_exec:
            return execute(executor_plugin=executor_plugin, **settings)
        before(kind.local_exec)
        done = execute(executor_plugin=executor_plugin, **settings)  # raises if a job failed
        if not workflow.execution_settings.no_hooks:
            after()
        return done

    workflow.execute = run


def rerun_also(workflow: Workflow, why: Callable[[str], str | None], say: Callable[[str], None]) -> None:
    """Let Snakemake run a job again that it holds current, where `why` has an answer to the job's label.

    Snakemake compares params with what it read itself when the run began; a job reads them when it starts.
    """
    build = workflow._build_dag

    def build_again() -> None:
        build()
        dag, again = workflow.dag, False
        for job in [job for job in dag.jobs if job.rule.name in STAGES and not dag.needrun(job)]:
            label = Path(str(job.log[0])).stem
            reason = why(label)
            if reason:
                say(f"{label} {reason}; it is made again")
                dag.forcefiles.update(job.output)
                again = True
        if again:
            workflow.async_run(dag.postprocess())

    workflow._build_dag = build_again


def lock_files(root: Path) -> list[Path]:
    """The files by which runs of Snakemake lock their inputs and outputs in a folder."""
    return sorted((root / ".snakemake" / "locks").glob("[0-9]*.*put.lock"))


def remove_locks(locks: list[Path]) -> None:
    """Remove lock files, as `snakemake --unlock` does with all of them."""
    for lock in locks:
        lock.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Planned:
    """What Snakemake thinks of one job."""

    label: str
    stage: str
    needs_run: bool
    has_metadata: bool


def planned_jobs(root: Path, experiment: str) -> list[Planned]:
    """Snakemake's own list of an experiment's jobs with what it would run, without running anything.

    The calls are those that Snakemake's own subcommands make; a test compares the answer with the graph and with
    `snakemake --dry-run`.

    Raises: DcpipeError if the installed Snakemake is not of the tested versions.
    """
    ENGINE.require()
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
        StorageSettings,
        WorkflowSettings,
    )

    with _inside(root), SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, stdout=False)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config={"experiment": experiment}),
            storage_settings=StorageSettings(),
            workflow_settings=WorkflowSettings(),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(dag_settings=DAGSettings(force_incomplete=True))
        inner = workflow._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        inner._build_dag()
        dag, persistence = inner.dag, inner.persistence
        broken = {str(path) for path in inner.async_run(dag.incomplete_files())}
        return [
            Planned(
                label=Path(str(job.log[0])).stem,
                stage=job.rule.name,
                needs_run=bool(dag.needrun(job)) or not broken.isdisjoint(map(str, job.output)),
                has_metadata=persistence.has_metadata(job),
            )
            for job in dag.jobs
            if job.rule.name in STAGES  # not `all`, nor the rules that a project adds
        ]


@contextmanager
def _inside(root: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)
