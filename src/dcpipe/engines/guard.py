"""record and adopt: the only ways from one engine's bookkeeping into the other's.

`dvc commit --force` believes whatever lies in the workspace, and `snakemake --touch` declares it current; used by
hand they record wrong results for ever. Both are used here alone, and only after everything that could be wrong
has been looked at: dvc.yaml, code identity, Snakemake's plan and provenance, every artifact's card and every byte.
"""

import logging
from pathlib import Path

from dcpipe.engines import dvc, dvc_cache, dvc_lock, dvc_private, dvc_yaml, preflight, snakemake, snakemake_private
from dcpipe.errors import DcpipeError, RefusedError
from dcpipe.provenance import code_identity, staleness
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES, results_folder

log = logging.getLogger("dcpipe")


def record_run(root: Path, experiment: str) -> int:
    """Record a complete run in DVC; returns how many jobs it holds.

    Raises: RefusedError, with the first reason, if anything could make the record false.
    """
    dvc_private.ENGINE.require()
    graph = _current_graph(root, experiment)
    jobs = [job for job in graph.experiment_jobs(experiment) if not job.is_view]
    _refuse_plan(root, experiment, jobs)
    _refuse_provenance(root, experiment, jobs)
    _remove_corrupt_cache_objects(root, jobs)
    dvc_private.commit(root, jobs)
    if preflight.cache_types(root)[0] == "symlink":  # as `dcpipe scratch` sets it
        dvc.relink(root, experiment, sorted({str(job.folder) for job in jobs}))
    return len(jobs)


def adopt_from_dvc(root: Path, experiment: str) -> int:
    """Take what DVC put into the workspace as current for Snakemake, and make the views; returns how many jobs.

    Raises: RefusedError unless DVC is clean and every artifact's card is that of its job.
    """
    graph = _current_graph(root, experiment)
    jobs = [job for job in graph.experiment_jobs(experiment) if not job.is_view]
    left = dvc.dvc_status(root, experiment)
    if left:
        file = dvc_yaml.experiment_dvc_yaml(experiment)
        remedy = f"run `dvc repro {file}` or `dvc checkout --with-deps {file}` first"
        raise RefusedError(f"DVC is not clean: {' '.join(left.split())[:80]}", where=experiment, remedy=remedy)
    _refuse_provenance(root, experiment, jobs)
    if _remove_corrupt_cache_objects(root, jobs):
        dvc_private.commit(root, jobs)
    normalise_lock_files(root, jobs)
    read = {path for job in jobs for paths in job.inputs.values() for path in paths}
    last = [path for job in jobs if read.isdisjoint(job.outputs.values()) for path in job.outputs.values()]
    _snakemake(root, experiment, "--touch", "--forceall", "--", *last)
    _snakemake(root, experiment, "--forcerun", *(stage.name for stage in STAGES.values() if stage.is_view))
    stale = [plan.label for plan in snakemake_private.planned_jobs(root, experiment) if plan.needs_run]
    if stale:
        raise DcpipeError(f"Snakemake still wants to run {stale[0]}", where=results_folder(experiment))
    return len(jobs)


def adopt_finished(root: Path, experiment: str) -> tuple[int, int]:
    """Take as current for Snakemake what is finished and right of an incomplete experiment; returns how many jobs are,
    and how many are left to run. Nothing is recorded in DVC.

    A job is finished and right if its card is what params, code and inputs say, every byte is the card's, and so are
    all jobs above it.
    """
    graph = _current_graph(root, experiment)
    jobs = [job for job in graph.experiment_jobs(experiment) if not job.is_view]
    right: dict[str, Job] = {}
    for job in jobs:
        above = {graph.job_that_makes(path).name for paths in job.inputs.values() for path in paths}
        if above <= right.keys() and not staleness.staleness_problem(job, root, every_digest=True):
            right[job.name] = job
    if right:
        paths = [path for job in right.values() for path in job.outputs.values()]
        _snakemake(root, experiment, "--touch", "--forceall", "--", *paths)
    stale = [
        plan.label
        for plan in snakemake_private.planned_jobs(root, experiment)
        if plan.needs_run and plan.label in right
    ]
    if stale:
        raise DcpipeError(f"Snakemake still wants to run {stale[0]}", where=experiment)
    return len(right), len(jobs) - len(right)


def _remove_corrupt_cache_objects(root: Path, jobs: list[Job]) -> bool:
    """Remove damaged objects of these jobs from DVC's cache, with a line each; whether there were any."""
    rotten = dvc_cache.remove_corrupt(root, jobs)
    for one in rotten:
        log.warning("%s was damaged; DVC records it again from the artifact", one)
    return bool(rotten)


def normalise_lock_files(root: Path, jobs: list[Job]) -> None:
    """Put the dvc.lock files of these jobs into the order and writing that `record_run` gives them; jobs that are gone
    leave.
    """
    for path in dvc_yaml.files_with_jobs(root, jobs):
        file = (root / path).with_suffix(".lock")
        if file.is_file():
            dvc_lock.write_lock(file, dvc_lock.current_stages(file))


def _current_graph(root: Path, experiment: str) -> Graph:
    """The graph, after its code identity was checked and dvc.yaml is what it says."""
    code_identity.refuse_stale(root)
    graph = Graph(root)
    dvc_yaml.bring_up_to_date(graph, experiment)
    return graph


def _refuse_plan(root: Path, experiment: str, jobs: list[Job]) -> None:
    plan = {entry.label: entry for entry in snakemake_private.planned_jobs(root, experiment)}
    stale = [job.name for job in jobs if job.name not in plan or plan[job.name].needs_run]
    if stale:
        remedy = f"run `snakemake --config experiment={experiment}` to the end"
        raise RefusedError(f"{len(stale)} of {len(jobs)} jobs are still to run", where=stale[0], remedy=remedy)
    unknown = [job.name for job in jobs if not plan[job.name].has_metadata]
    if unknown:
        remedy = "if DVC made it, run `dcpipe adopt`; otherwise remove its artifact and run `snakemake`"
        raise RefusedError("Snakemake has no record of this job", where=unknown[0], remedy=remedy)


def _refuse_provenance(root: Path, experiment: str, jobs: list[Job]) -> None:
    for job in jobs:
        problem = staleness.staleness_problem(job, root, every_digest=True)
        if problem:
            command = f"snakemake --config experiment={experiment} --force -- {job.outputs['card']}"
            raise RefusedError(problem, remedy=f"make it again: `{command}`, then start this command again")


def _snakemake(root: Path, experiment: str, *arguments: str) -> None:
    done = snakemake.run_snakemake(root, experiment, "--cores", "1", *arguments)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise DcpipeError(f"snakemake failed: {lines[-1] if lines else 'no message'}", where=experiment)
