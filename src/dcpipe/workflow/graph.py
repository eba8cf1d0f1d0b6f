"""THE graph: an experiment's jobs, each with inputs, outputs, the params that can alter it, and its command.

Both engines are compiled from it: Snakemake's rules ask it for inputs, params and commands, and dvc.yaml is
written from it. What a job of a stage is made of, the stage itself says (`workflow/stages.py`). Paths are names;
digests live in cards and in dvc.lock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from dcpipe.errors import RefusedError, UserError
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.params_files import InlineSections
from dcpipe.params.values import Values, merge_values, neutral_values
from dcpipe.provenance import code_identity, source_modules
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES, Stage, match_stage


@dataclass
class Graph:
    """Jobs from params files. One instance reads each file once; make a new one to see an edit.

    `extra` is what stands for files of params/: what an experiment's file brings along, before that is written there,
    and the rows of papers, which never are.
    """

    root: Path = field(default_factory=Path)
    extra: InlineSections = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library = ParamsLibrary(self.root, self.extra)
        self._jobs: dict[tuple[str, tuple[tuple[str, str], ...]], Job] = {}
        self._job_by_output: dict[str, Job] = {}
        self._identity = code_identity.Identity.of_running_code(self.root)
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}

    def experiment_jobs(self, experiment: str) -> list[Job]:
        """Every job of an experiment, in an order in which they could run; checked for impossible combinations.

        Raises: UserError naming file and key; RefusedError if two jobs would share a path.
        """
        stages = STAGES.values()
        return self.with_dependencies(
            self.make_job(stage.name, **wildcards)
            for stage in stages
            for wildcards in stage.final_jobs(self, experiment)
        )

    def with_dependencies(self, jobs: Iterable[Job]) -> list[Job]:
        """Jobs and all that they need, in an order in which they could run."""
        ordered: dict[str, Job] = {}

        def visit(job: Job) -> None:
            for path in (path for paths in job.inputs.values() for path in paths):
                maker = self.job_that_makes(path)
                visit(maker) if maker.name not in ordered else None
            ordered[job.name] = job

        for job in jobs:
            visit(job)
        rows = list(STAGES)
        return sorted(ordered.values(), key=lambda job: rows.index(job.stage))

    def job_that_makes(self, path: str) -> Job:
        """The job that makes an artifact, or the folder of one.

        Raises: UserError if no stage makes such a path.
        """
        known = self._job_by_output.get(path)
        if known and not known.is_view:
            return known
        maker = match_stage(path)
        if maker is None:
            raise UserError("no stage makes this path", where=path, remedy="name something under artifacts/")
        return self.make_job(maker[0], **maker[1])

    def make_job(self, stage: str, **wildcards: str | int) -> Job:
        """One job.

        Raises: UserError for unknown names, bad params or an impossible combination.
        """
        row = STAGES.get(stage)
        if row is None:
            near = ", ".join(get_close_matches(stage, STAGES)) or ", ".join(STAGES)
            raise UserError(f"there is no stage {stage!r}", remedy=f"name one of {near}")
        names = [wildcard.name for wildcard in row.wildcards]
        if set(wildcards) != set(names):
            problem = f"its wildcards are {', '.join(names)}, not {', '.join(wildcards)}"
            raise UserError(problem, where=f"the stage {stage}", remedy="give exactly these wildcards")
        named = {name: str(wildcards[name]) for name in names}
        key = (stage, tuple(named.items()))
        if key not in self._jobs:
            job = self._build_job(row, named)
            self._refuse_undeclared_inputs(row, job)
            for path in job.outputs.values():
                other = self._job_by_output.setdefault(path, job)
                if other.name != job.name or other.params != job.params:
                    problem = f"{other.name} and {job.name} would both write it"
                    raise RefusedError(problem, where=path, remedy="give the stage of one another folder")
            self._jobs[key] = job
        return self._jobs[key]

    def _build_job(self, stage: Stage, wildcards: dict[str, str]) -> Job:
        plan, values, modules = stage.plan(self, wildcards), list[Values](), tuple[str, ...]()
        if not stage.is_view:
            modules = self._reached((stage.implementation, *plan.roots))
            values = [{code_identity.FILE: dict(self._identity.file_entries(modules))}]
        return Job(
            stage=stage.name,
            wildcards=wildcards,
            inputs=plan.inputs,
            outputs=stage.outputs(wildcards),
            params=merge_values([*plan.values, *values]),
            neutral=neutral_values(plan.values),
            command=f"{self._command(stage, wildcards)} --log {stage.log.format(**wildcards)}",
            resources=plan.resources or stage.resources,
            implementation=stage.implementation,
            modules=modules,
            sections=plan.sections,
        )

    def _reached(self, roots: tuple[str, ...]) -> tuple[str, ...]:
        if roots not in self._modules:
            self._modules[roots] = source_modules.reached_modules(roots)
        return self._modules[roots]

    def _command(self, stage: Stage, wildcards: Mapping[str, str]) -> str:
        command = stage.command_of(wildcards)
        for wildcard in stage.wildcards:
            supplied = self.extra.get(wildcard.section, {}).get(wildcards[wildcard.name])
            if supplied and supplied.command:  # no stage finds it by its name alone
                command = supplied.command
        return command

    def _refuse_undeclared_inputs(self, stage: Stage, job: Job) -> None:
        """Raises: RefusedError if a job reads what its stage does not say it reads: stages are ordered by that."""
        for path in (path for paths in job.inputs.values() for path in paths):
            maker = self.job_that_makes(path)
            if maker.stage not in stage.reads:
                remedy = f"add {maker.stage} to the reads of {type(stage).__name__}"
                raise RefusedError(f"{maker.stage} is not in the reads of {job.name}", where=path, remedy=remedy)
