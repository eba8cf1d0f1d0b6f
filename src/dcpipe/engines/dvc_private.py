"""Everything of DVC that is called inside this process. DVC promises none of it, so its version is checked first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcpipe.engines import dvc_lock
from dcpipe.engines.tested_version import TestedEngine
from dcpipe.errors import DcpipeError
from dcpipe.workflow.job import Job

ENGINE = TestedEngine("DVC", "dvc", "3.67")


def commit(root: Path, jobs: list[Job]) -> None:
    """Record the artifacts of these jobs as they are. Never to be called but by the guard.

    What `dvc commit --force --no-relink` does, with each dvc.lock written once instead of once a change of file on
    the way through the graph, and each params file read once instead of once a stage (1,000 jobs: seconds instead
    of minutes). Workspace files keep their times, which Snakemake goes by.

    Raises: DcpipeError if the installed DVC is not of the tested versions, or refuses.
    """
    ENGINE.require()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.serialize import to_lockfile

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
        remedy = "take it out of .gitignore or .dvcignore, then run `dcpipe record`"
        raise DcpipeError("DVC ignores the dvc.yaml that holds this job", where=min(missing), remedy=remedy)
    for path, stages in saved.items():
        dvc_lock.write(path, dvc_lock.current_entry(path) | stages)


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
