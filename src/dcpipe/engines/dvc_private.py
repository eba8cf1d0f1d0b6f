"""Everything of DVC that is called inside this process. DVC promises none of it, so its version is checked first."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from dcpipe.engines import dvc_lock
from dcpipe.engines.tested_version import TestedEngine
from dcpipe.errors import CorruptArtifactError, DcpipeError
from dcpipe.provenance.json_value import JsonValue
from dcpipe.workflow.job import Job

if TYPE_CHECKING:
    from dvc.repo import Repo

ENGINE = TestedEngine("DVC", "dvc", "3.67")


def commit(root: Path, jobs: list[Job]) -> None:
    """Record the artifacts of these jobs as they are. Never to be called but by the guard.

    What `dvc commit --force --no-relink` does, with each dvc.lock written once instead of once a change of file on
    the way through the graph, and with params and git's index read once instead of once a stage (`_caching_reads`):
    seconds instead of minutes for 1,000 jobs. Workspace files keep their times, which Snakemake goes by.

    Raises: DcpipeError if the installed DVC is not of the tested versions, or refuses.
    """
    ENGINE.require()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.serialize import to_lockfile

    wanted = {job.name for job in jobs}
    try:
        with Repo(str(root)) as repo, repo.lock, repo.scm_context(), _caching_reads(repo):
            saved: dict[Path, dict[str, Any]] = {}
            for stage in (s for s in repo.index.stages if getattr(s, "name", None) in wanted):
                stage.save()
                stage.commit(relink=False)
                saved.setdefault(Path(stage.path).with_suffix(".lock"), {}).update(to_lockfile(stage))
    except DvcException as error:
        raise DcpipeError(f"DVC could not record: {error}", where=jobs[0].name) from error
    missing = wanted.difference(*(stages.keys() for stages in saved.values()))
    if missing:
        remedy = "remove it from .gitignore or .dvcignore, then run `dcpipe record`"
        raise DcpipeError("DVC ignores the dvc.yaml that holds this job", where=min(missing), remedy=remedy)
    for path, stages in saved.items():
        dvc_lock.write_lock(path, dvc_lock.current_stages(path) | stages)


def remove_stale_locks(root: Path) -> list[str]:
    """Remove from DVC's list of files in use what dead processes left there; returns a line for each process.

    DVC's other lock is the kernel's, which drops it with the process. The list (`.dvc/tmp/rwlock`) holds numbers of
    processes: DVC takes a number that was given to another process since for the one that wrote it, and stops for
    good at a list that was cut short by a kill.
    """
    file = root / ".dvc" / "tmp" / "rwlock"
    try:
        text, written = file.read_text(), file.stat().st_mtime
    except OSError:
        return []
    try:
        modes = {name: mode.fields() for name, mode in JsonValue(json.loads(text), str(file)).fields().items()}
        several = [users for files in modes.values() for users in files.values()]
        commands = dict(user for users in several for user in _users(users))
    except (ValueError, CorruptArtifactError):
        return (
            ["removed DVC's list of files in use, which a kill cut short"]
            if _rewrite_under_lock(root, file, None)
            else []
        )
    dead = {pid: command for pid, command in commands.items() if not _may_have_written(pid, written)}
    kept = {
        name: {path: users.value for path, users in files.items() if not dict(_users(users)).keys() & dead.keys()}
        for name, files in modes.items()
    }
    if not dead or not _rewrite_under_lock(root, file, kept):
        return []
    return [f"took over DVC's lock of process {pid} (`dvc {command}`), which is dead" for pid, command in dead.items()]


def _users(users: JsonValue) -> list[tuple[int, str]]:
    """Number and command of each process that uses a file: one that writes it, or a list of those that read it."""
    entries = users.elements() if isinstance(users.value, list) else [users]
    return [(entry["pid"].integer(), entry["cmd"].text()) for entry in entries]


def _may_have_written(pid: int, written: float) -> bool:
    """Whether a process can have written a file at that time: it is there, and was then."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() <= written + 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _rewrite_under_lock(root: Path, file: Path, kept: Mapping[str, object] | None) -> bool:
    """Write or remove the list under DVC's own lock of it; False if a living DVC holds that."""
    ENGINE.require()
    from dvc.lock import LockError, make_lock

    try:
        with make_lock(str(file.with_name("rwlock.lock")), tmp_dir=str(root / ".dvc" / "tmp")):
            if kept is None:
                file.unlink(missing_ok=True)
            else:
                file.write_text(json.dumps(kept))
    except LockError:
        return False
    return True


@contextmanager
def _caching_reads(repo: "Repo") -> Iterator[None]:
    """Let DVC remember what it reads again for every stage; under the lock of the repository nothing of it is edited.

    Params files and the values looked up in them, and which files git tracks. What DVC writes of each run it writes by
    libyaml, ten times as fast.
    """
    from dvc.dependency import param
    from dvc.utils import serialize

    files = _CachedReader(serialize.LOADERS[".yaml"])
    values = _CachedReader(param.read_param_file)
    with ExitStack() as stack:
        stack.enter_context(_temporarily_set(serialize.LOADERS, ".yaml", files.read))
        stack.enter_context(_temporarily_set(vars(param), "read_param_file", values.read))
        stack.enter_context(_temporarily_set(vars(serialize), "dump_yaml", dvc_lock.dump))
        if not repo.config["core"].get("no_scm"):
            is_tracked = tracked_in_git(Path(repo.scm.root_dir)).__contains__
            stack.enter_context(_temporarily_set(vars(repo.scm), "is_tracked", is_tracked))
        yield


class _CachedReader:
    """A reader that is asked once for the same thing. A caller may change the mapping it is given."""

    def __init__(self, read: Callable[..., object]) -> None:
        self._read = read
        self._known = dict[str, object]()

    def read(self, *of: object, **how: object) -> object:
        """What it says, or said before of the same paths and keys."""
        key = repr((of, how))
        if key not in self._known:
            self._known[key] = self._read(*of, **how)
        return copy(self._known[key])


def tracked_in_git(root: Path) -> frozenset[str]:
    """The absolute paths of all files that git tracks in a repository, and of the folders that hold any of them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    found = set[str]()
    for name in filter(None, listed.split("\0")):
        file = root / name
        found |= {str(file), *(str(folder) for folder in file.parents if folder.is_relative_to(root))}
    return frozenset(found)


@contextmanager
def _temporarily_set(mapping: dict[str, object], key: str, value: object) -> Iterator[None]:
    """Give a key another value for a while."""
    missing = object()
    before = mapping.get(key, missing)
    mapping[key] = value
    try:
        yield
    finally:
        if before is missing:
            del mapping[key]
        else:
            mapping[key] = before
