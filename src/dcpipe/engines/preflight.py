"""What a run needs of the machine and the folder around it, judged before the first job.

One list of checks, which `dcpipe doctor` prints and both engines go through. A check says what is there, or what is
wrong with what to do. What is wrong blocks every run, or only the record in DVC: then the run can be made unrecorded.
"""

import configparser
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcpipe.engines import dvc_private, snakemake_private
from dcpipe.engines.tested_version import TestedEngine
from dcpipe.errors import UserError
from dcpipe.workflow import costs
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES

Blocks = Literal["nothing", "the record", "every run"]
CHECK_GIT = ("git", "rev-parse", "--show-prefix")
SMALLEST_TMP = 10_000_000  # bytes that Snakemake and DVC surely find a use for


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `seen` is what is there, or what is wrong, and then `remedy` what to do."""

    subject: str
    seen: str
    remedy: str = ""
    blocks: Blocks = "nothing"

    @property
    def problem(self) -> str:
        """What is wrong, and what to do, in one line."""
        return f"{self.subject}: {self.seen}; {self.remedy}"


def findings(graph: Graph, experiment: str) -> Iterator[Finding]:
    """What every check finds, in the order in which it would be met."""
    root, jobs = graph.root, [job for job in graph.experiment_jobs(experiment) if not job.is_view]
    yield from folder_findings(root)
    yield from (check_engine(tested) for tested in (snakemake_private.ENGINE, dvc_private.ENGINE))
    yield from recording_findings(root, jobs)
    yield from capacity_findings(graph, jobs)


def refuse_blocked_run(findings: Iterable[Finding], *, record: bool = True, unrecorded: str = "") -> None:
    """Refuse a run for the first thing that is wrong. `unrecorded` is the command of the same run without a record.

    Raises: UserError, with what to do.
    """
    for finding in findings:
        if finding.blocks == "every run":
            raise UserError(finding.seen, where=finding.subject, remedy=finding.remedy)
        if finding.blocks == "the record" and record:
            remedy = f"{finding.remedy}; or run without a record: `{unrecorded}`" if unrecorded else finding.remedy
            raise UserError(f"{finding.seen}, so the run could not be recorded", where=finding.subject, remedy=remedy)


def folder_findings(root: Path) -> Iterator[Finding]:
    """Folders that must be there and writable, whatever is run."""
    remedy = "make it yours (`chown`), or work in a folder that you may write to"
    yield _writable("project", root, remedy)
    for name in ("artifacts", "state", "logs", "results", "costs"):
        if os.path.lexists(root / name):
            yield _writable(f"{name}/", root / name, remedy)
    yield _check_cache_home()
    yield _check_temporary_folder()


def check_engine(tested: TestedEngine) -> Finding:
    """An engine's version."""
    problem = tested.problem()
    if problem is None:
        return Finding(tested.name, f"of the tested versions, {tested.series}.*")
    seen, _, remedy = problem.rpartition("; ")
    return Finding(tested.name, seen, remedy, "the record")


def recording_findings(root: Path, jobs: list[Job]) -> Iterator[Finding]:
    """What DVC needs to record these jobs."""
    yield _git(root)
    yield _dvc(root)
    yield _find_linked_output_folder(root, jobs)


def capacity_findings(graph: Graph, jobs: list[Job]) -> Iterator[Finding]:
    """Disk and memory, for the jobs that were never finished."""
    waiting = [job for job in jobs if not (graph.root / job.outputs["card"]).is_file()]
    yield _disk(graph, waiting)
    yield _memory(graph.root, jobs)


def cache_folder(root: Path) -> Path:
    """Where DVC keeps what it records: `cache.dir` of its configuration, relative to .dvc, or .dvc/cache."""
    found = "cache"
    for name in ("config", "config.local"):
        found = _dvc_config(root / ".dvc" / name).get("cache", "dir", fallback=found)
    return (root / ".dvc" / Path(found).expanduser()).resolve()


def cache_types(root: Path) -> list[str]:
    """How DVC brings files from the cache into the folder: `cache.type` of its configuration."""
    found = ""
    for name in ("config", "config.local"):
        found = _dvc_config(root / ".dvc" / name).get("cache", "type", fallback=found)
    return [part.strip(" \"'") for part in found.split(",")]


def _dvc_config(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file)
    except (configparser.Error, UnicodeDecodeError):
        return configparser.ConfigParser()
    return parser


def _writable(subject: str, folder: Path, remedy: str) -> Finding:
    if not folder.exists():  # a link to nowhere
        return Finding(
            subject,
            f"{folder} leads to {os.readlink(folder)}, which does not exist",
            "make it, or remove the link",
            "every run",
        )
    if not folder.is_dir():
        return Finding(subject, f"{folder} is not a folder", "move it away", "every run")
    problem = _write_problem(folder)
    if problem:
        return Finding(subject, f"{folder.resolve()} cannot be written ({problem})", remedy, "every run")
    return Finding(subject, f"{folder.resolve()} can be written")


def _write_problem(folder: Path) -> str | None:
    """What happens when a file is written in a folder; None if that works."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".dcpipe-tmp-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _check_cache_home() -> Finding:
    """HOME, or the folders that stand in for it: Snakemake and matplotlib keep caches there, DVC reads settings."""
    named = os.environ.get("XDG_CACHE_HOME")
    subject = "XDG_CACHE_HOME" if named else "HOME"
    folder = Path(named) if named else Path("~/.cache").expanduser()
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    problem = "is a file" if not there.is_dir() else _write_problem(there)
    if problem:
        remedy = "name folders that you may write to: `export HOME=$PWD/.home; mkdir -p $HOME`"
        return Finding(subject, f"{folder} cannot be made or written ({problem})", remedy, "every run")
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "dvc" / "config"
    try:
        settings.open().close()
    except FileNotFoundError:
        pass
    except OSError as error:
        remedy = "name a folder that you may read: `export XDG_CONFIG_HOME=$PWD/.config`"
        return Finding("XDG_CONFIG_HOME", f"{settings} cannot be read ({error.strerror})", remedy, "every run")
    return Finding(subject, f"{folder} can be written")


def _check_temporary_folder() -> Finding:
    named = next((name for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), None)
    subject, remedy = named or "TMPDIR", "name another: `export TMPDIR=$PWD/state/tmp; mkdir -p $TMPDIR`"
    try:
        folder = Path(os.environ[named] if named else tempfile.gettempdir())
    except FileNotFoundError as error:
        return Finding(subject, f"no folder for temporary files can be written ({error.strerror})", remedy, "every run")
    if not folder.is_dir():
        return Finding(subject, f"{folder} is not a folder", remedy, "every run")
    problem = _write_problem(folder)
    if problem:
        return Finding(subject, f"{folder} cannot be written ({problem})", remedy, "every run")
    free = shutil.disk_usage(folder).free
    if free < SMALLEST_TMP:
        return Finding(subject, f"{folder} is full ({free / 1e6:.1f} MB are free)", remedy, "every run")
    return Finding(subject, f"{folder} can be written, {free / 1e9:.1f} GB are free")


def _git(root: Path) -> Finding:
    blocks: Blocks = "the record"
    try:
        done = subprocess.run(CHECK_GIT, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        remedy = "install git (`apt install git`, `conda install git` or `module load git`)"
        return Finding("git", "git is not installed", remedy, blocks)
    if done.returncode == 0:
        inside = done.stdout.strip()
        return Finding("git", f"this folder is {inside} of a repository" if inside else "this folder is a repository")
    if "dubious ownership" in done.stderr:
        remedy = f"`git config --global --add safe.directory {root.resolve()}`, if you trust it"
        return Finding("git", "this repository belongs to another user, and git does not read it", remedy, blocks)
    if "not a git repository" in done.stderr:
        remedy = "`git init` makes it one"
        if not (root / ".dvc").is_dir():
            remedy = "`git init && dvc init` make it one"
        return Finding("git", "this folder is not in a git repository", remedy, blocks)
    lines = done.stderr.strip().splitlines()
    return Finding("git", lines[-1] if lines else "git fails here", "see `git status`", blocks)


def _dvc(root: Path) -> Finding:
    folder = root / ".dvc"
    if not folder.is_dir():
        remedy = "`dvc init`, or `dvc init --subdir` below the top of the git repository"
        return Finding("DVC", "DVC is not initialised in this folder", remedy, "the record")
    cache = cache_folder(root)
    there = next(place for place in (cache, *cache.parents) if place.exists())
    for place in (folder, there):
        problem = _write_problem(place)
        if problem:
            remedy = "make it yours (`chown`), or name another cache: `dcpipe scratch FOLDER`"
            return Finding("DVC", f"{place} cannot be written ({problem})", remedy, "the record")
    return Finding("DVC", f"the cache is {cache}, by {', '.join(cache_types(root)) or 'reflink, copy'}")


def _find_linked_output_folder(root: Path, jobs: list[Job]) -> Finding:
    """No folder on the way to an output is a link: DVC refuses to record what lies behind one."""
    folders = {root / part for job in jobs for part in (Path(job.folder), *Path(job.folder).parents)}
    for folder in sorted(folders - {root, root / "."}):
        if folder.is_symlink():
            seen = f"{folder.relative_to(root)} is a link to {folder.resolve()}, and DVC records nothing behind a link"
            remedy = (
                f"put a real folder there, and DVC's cache on that disk: `dcpipe scratch {folder.resolve().parent}`"
            )
            return Finding("outputs", seen, remedy, "the record")
    return Finding("outputs", "inside the project, no links on the way")


def _disk(graph: Graph, waiting: list[Job]) -> Finding:
    """Room for what is to be made, and for DVC's copy of it where that lies on a disk of its own or is a real copy."""
    place = graph.root / "artifacts"
    place = place if place.exists() else graph.root
    needed = sum(STAGES[job.stage].disk_bytes(graph, job) for job in waiting)
    free = shutil.disk_usage(place).free
    seen = f"up to {needed / 1e9:.1f} GB will be written; {free / 1e9:.1f} GB are free"
    if needed > free:
        remedy = "free some disk space, or use fewer experts"
        return Finding("disk", f"{place.resolve()}: {seen}", remedy, "every run")
    return Finding("disk", seen)


def _memory(root: Path, jobs: list[Job]) -> Finding:
    """The most that a job of this experiment ever took here, where that is known, against what the machine has."""
    import psutil

    peaks = [cost.peak_bytes for job in jobs if (cost := costs.measured_costs(root / job.costs_path))]
    most, memory = max(peaks, default=0), psutil.virtual_memory()
    known = f"the largest job took {most / 1e9:.1f} GB" if most else "no job was measured here yet"
    seen = f"{known}; {memory.total / 1e9:.1f} GB in all, {memory.available / 1e9:.1f} GB are free"
    return Finding("memory", seen)
