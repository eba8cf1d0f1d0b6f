"""The graph as DVC sees it: dvc.yaml files with one stage a job, and the few DVC commands this project uses.

The default experiment's jobs stand in the root's dvc.yaml, those of two or more other experiments in
experiments/shared/dvc.yaml, the rest in experiments/<name>/dvc.yaml; all run in the root. Views are left out.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dcpipe.engines import dvc_lock
from dcpipe.errors import DcpipeError, RefusedError
from dcpipe.params import resolve
from dcpipe.provenance import code_identity
from dcpipe.provenance.artifact import write_atomically
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT, STAGES

HEAD = "# Written by `dcpipe graph export` from params/ and the graph; do not edit.\n"
SHARED = "experiments/shared/dvc.yaml"


def file_of(experiment: str) -> str:
    """The dvc.yaml that names an experiment; with its dependencies it is the whole experiment."""
    return "dvc.yaml" if experiment == DEFAULT_EXPERIMENT else f"experiments/{experiment}/dvc.yaml"


def files(root: Path) -> dict[str, str]:
    """The text of every dvc.yaml, by path, for all experiments in params/experiments."""
    return {path: _text(path, members) for path, members in _placed(root).items()}


def _placed(root: Path) -> dict[str, list[Job]]:
    """The jobs of every dvc.yaml, by path."""
    graph, homes = Graph(root), dict[str, list[str]]()
    jobs: dict[str, Job] = {}
    for experiment in resolve.available(root, "experiments"):
        for job in graph.jobs(experiment):
            if not job.is_view:
                jobs[job.name] = job
                homes.setdefault(job.name, []).append(experiment)
    placed: dict[str, list[Job]] = {file_of(name): [] for name in resolve.available(root, "experiments")}
    for name, job in jobs.items():
        placed.setdefault(_home(homes[name]), []).append(job)
    return dict(sorted(placed.items()))


def _home(experiments: list[str]) -> str:
    if DEFAULT_EXPERIMENT in experiments:
        return file_of(DEFAULT_EXPERIMENT)
    return file_of(experiments[0]) if len(experiments) == 1 else SHARED


def _text(path: str, jobs: list[Job]) -> str:
    depth = len(Path(path).parent.parts)
    wdir = "/".join([".."] * depth) if depth else None
    stages = {job.name: _stage(job, wdir) for job in jobs}
    return HEAD + yaml.dump({"stages": stages}, Dumper=_NoAliases, sort_keys=False, width=1000)


class _NoAliases(dvc_lock.DUMPER):  # type: ignore[misc, valid-type]
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True


def _stage(job: Job, wdir: str | None) -> dict[str, object]:
    stage = STAGES[job.stage]
    kinds: dict[str, list[object]] = {"outs": [], "metrics": [], "plots": []}
    for name, path in job.outputs.items():
        payload = stage.payload(name)
        if payload and payload.plot:
            kinds["plots"].append({path: dict(zip("xy", payload.plot, strict=True))})
        else:
            kinds["metrics" if payload and payload.is_metrics else "outs"].append(path)
    deps = sorted({path for paths in job.inputs.values() for path in paths})
    return {
        "cmd": job.command,
        **({"wdir": wdir} if wdir else {}),
        **({"deps": deps} if deps else {}),
        "params": [{file: keys} for file, keys in _listed(job).items()],
        **{kind: paths for kind, paths in kinds.items() if paths},
    }


def _listed(job: Job) -> dict[str, list[str]]:
    """The keys that DVC watches, by file: also those that are stated "as before", or it would not see them set."""
    files = sorted(job.params.keys() | job.neutral.keys())
    return {file: sorted(job.params.get(file, {}).keys() | job.neutral.get(file, {}).keys()) for file in files}


def stale(root: Path) -> list[str]:
    """The dvc.yaml files that are not what params and graph say (missing, different, or of no experiment)."""
    wanted = files(root)
    found = {"dvc.yaml", *(str(p.relative_to(root)) for p in root.glob("experiments/*/dvc.yaml"))}
    return sorted(
        path
        for path in found | wanted.keys()
        if path not in wanted or not (root / path).is_file() or (root / path).read_text() != wanted[path]
    )


def export(root: Path) -> list[str]:
    """Write every dvc.yaml and code_identity.yaml; returns the paths that changed.

    Jobs that were recorded before a knob existed are given the value that means "as before" in dvc.lock.
    """
    changed = [code_identity.FILE] if code_identity.refresh(root) else []
    placed = _placed(root)
    wanted = {path: _text(path, members) for path, members in placed.items()}
    for path, members in placed.items():
        lock = Path(path).with_suffix(".lock")
        if dvc_lock.add_params(root / lock, {job.name: job.neutral for job in members if job.neutral}):
            changed.append(str(lock))
    for path in stale(root):
        if path in wanted:
            write_atomically(root / path, wanted[path].encode())
        else:
            (root / path).unlink()
        changed.append(path)
    return changed


def check(root: Path) -> None:
    """Raises: RefusedError if a dvc.yaml or the code identity is stale."""
    code_identity.refuse_stale(root)
    refuse_stale(root)


def refuse_stale(root: Path) -> None:
    """Raises: RefusedError if a dvc.yaml is not what params and graph say."""
    paths = stale(root)
    if paths:
        remedy = "run `dcpipe graph export`"
        raise RefusedError("is not what params and graph say", where=", ".join(paths), remedy=remedy)


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC and return what it said.

    Raises: DcpipeError if DVC is not installed here.
    """
    try:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DcpipeError(f"DVC cannot be started ({error.strerror})", remedy="pip install dvc") from error


def status(root: Path, experiment: str) -> str:
    """What DVC says differs from dvc.lock in an experiment and its dependencies; empty when it is clean."""
    done = command(root, "status", "--with-deps", file_of(experiment))
    text = done.stdout.strip()
    if done.returncode:
        raise DcpipeError(f"dvc status failed: {_last_line(done.stderr)}", remedy="run it to see more")
    return "" if "up to date" in text else text


def commit(root: Path, jobs: list[Job]) -> None:
    """Record the artifacts of these jobs as they are. Never to be called but by the guard.

    What `dvc commit --force --no-relink` does, with each dvc.lock written once instead of once a change of file on
    the way through the graph, and each params file read once instead of once a stage (1,000 jobs: seconds instead
    of minutes). Workspace files keep their times, which Snakemake goes by.

    Raises: DcpipeError if DVC is not installed here, or refuses.
    """
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.stage.serialize import to_lockfile
    except ImportError as error:
        raise DcpipeError("DVC is not installed here", remedy="pip install 'dcpipe[engines]'") from error
    wanted = {job.name for job in jobs}
    try:
        with Repo(str(root)) as repo, repo.lock, repo.scm_context(), _params_read_once():
            saved: dict[Path, dict[str, Any]] = {}
            for stage in (s for s in repo.index.stages if getattr(s, "name", None) in wanted):
                stage.save()
                stage.commit(relink=False)
                saved.setdefault(Path(stage.path).with_suffix(".lock"), {}).update(to_lockfile(stage))
    except DvcException as error:
        raise DcpipeError(f"DVC could not record: {error}", where=jobs[0].name) from error
    missing = wanted.difference(*(stages.keys() for stages in saved.values()))
    if missing:
        raise DcpipeError("is in no dvc.yaml", where=min(missing), remedy="run `dcpipe graph export`")
    for path, stages in saved.items():
        dvc_lock.write(path, dvc_lock.current(path) | stages)


@contextmanager
def _params_read_once() -> Iterator[None]:
    """DVC's reader of YAML, remembering what it has read; under the lock of the repository nothing is edited."""
    from dvc.utils.serialize import LOADERS

    read, known = LOADERS[".yaml"], dict[str, Any]()

    def once(path: str, fs: Any = None, **options: Any) -> Any:
        if options:
            return read(path, fs=fs, **options)
        if path not in known:
            known[path] = read(path, fs=fs)
        return known[path]

    LOADERS[".yaml"] = once
    try:
        yield
    finally:
        LOADERS[".yaml"] = read


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
