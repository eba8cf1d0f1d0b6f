"""Which runs are at work in a folder: each writes down its process before its first job, and removes that at its end.

An engine's own locks do not say whose they are, or outlive the process that made them. What a run writes here tells
whether a lock belongs to a process that is gone. A process is known by its host, the host's boot, its process
namespace (a container has its own), its number and its start time, so that a number that was given to another process
later is not mistaken for it.
"""

import atexit
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance.durable import write_json
from dcpipe.provenance.json_value import JsonValue
from dcpipe.workflow import engine_watch

FOLDER = ".dcpipe/runs"

State = Literal["alive", "dead", "elsewhere"]


@dataclass(frozen=True, slots=True)
class RunOwner:
    """One run: its command and experiment, and the process that it is. `started` is in seconds since 1970."""

    command: str
    experiment: str
    host: str
    boot: str
    namespace: str
    pid: int
    started: float

    @property
    def key(self) -> str:
        """What the processes that the run starts are told of it; see `engine_watch`."""
        return engine_watch.key(self.host, self.namespace, self.pid)

    @property
    def file(self) -> str:
        """Where it is written down."""
        return f"{FOLDER}/{self.host}-{self.pid}.json"

    def state(self) -> State:
        """Whether its process is alive, dead, or of another host or container, where nothing can be said of it."""
        here = this_process()
        if self.host != here.host:
            return "elsewhere"
        if self.boot != here.boot:
            return "dead"
        if self.namespace != here.namespace:
            return "elsewhere"
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return "alive" if same and process.status() != psutil.STATUS_ZOMBIE else "dead"
        except psutil.NoSuchProcess:
            return "dead"
        except psutil.AccessDenied:
            return "alive"


def this_process(command: str = "", experiment: str = "") -> RunOwner:
    """This process, as the owner of a run."""
    return RunOwner(
        command=command,
        experiment=experiment,
        host=platform.node(),
        boot=_first_line(Path("/proc/sys/kernel/random/boot_id")),
        namespace=engine_watch.namespace(),
        pid=os.getpid(),
        started=float(psutil.Process().create_time()),
    )


def register(root: Path, command: str, experiment: str) -> RunOwner:
    """Record, until this process ends, that it runs an experiment; an environment variable shows it to its children."""
    owner = this_process(command, experiment)
    write_json(root / owner.file, asdict(owner))
    os.environ[engine_watch.ENVIRONMENT_VARIABLE] = owner.key
    atexit.register(unregister, root.resolve(), owner)
    return owner


def unregister(root: Path, owner: RunOwner) -> None:
    """The run is over, or is known to be dead."""
    (root / owner.file).unlink(missing_ok=True)


def other_owners(root: Path) -> list[RunOwner]:
    """The runs that are registered in a folder, without this process; an unreadable record is removed."""
    return [owner for owner in _read(root) if owner.pid != os.getpid() or owner.state() != "alive"]


def orphaned_processes(owner: RunOwner) -> list[psutil.Process]:
    """The processes that a dead run started and that are still at work: they have its key in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            told = process.environ().get(engine_watch.ENVIRONMENT_VARIABLE)
            if told == owner.key and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _read(root: Path) -> Iterator[RunOwner]:
    for file in sorted((root / FOLDER).glob("*.json")):
        try:
            row = JsonValue(json.loads(file.read_text()), str(file))
            texts = {name: row[name].text() for name in ("command", "experiment", "host", "boot", "namespace")}
            yield RunOwner(**texts, pid=row["pid"].integer(), started=row["started"].number())
        except FileNotFoundError:  # it ended at this moment
            continue
        except (ValueError, CorruptArtifactError):
            file.unlink(missing_ok=True)


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
