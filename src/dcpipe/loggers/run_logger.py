"""Loggers: who else is told the numbers of a job while it runs, such as TensorBoard. None alters what is computed.

The environment variable DCPIPE_LOGGERS names them, joined by commas: it is a matter of this machine, and no param.

    DCPIPE_LOGGERS=tensorboard dcpipe run digits

`tensorboard` and `mlflow` come with dcpipe, and need those packages. Another package adds one by the entry point group
`dcpipe.loggers`; it names a function that takes a `Run` and returns a `RunLogger`:

    [project.entry-points."dcpipe.loggers"]
    wandb = "our_package.wandb_logger:open_logger"
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from dcpipe.errors import UserError

ENVIRONMENT_VARIABLE = "DCPIPE_LOGGERS"
GROUP = "dcpipe.loggers"
SHIPPED = {
    "tensorboard": "dcpipe.loggers.tensorboard_logger",
    "mlflow": "dcpipe.loggers.mlflow_logger",
}

log = logging.getLogger("dcpipe")


@dataclass(frozen=True, slots=True)
class Run:
    """The job that is logged: its name, its stage, its wildcards (dataset, method, ipc, ...) and the project."""

    name: str
    stage: str
    wildcards: Mapping[str, str]
    root: Path


class RunLogger(Protocol):
    """Is told the numbers of one run of one job."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step: of an iteration of distillation, an epoch of an expert, or a network that was tested."""

    def close(self) -> None:
        """The run ended, in whichever way. A run that is continued is opened again."""


Opener = Callable[[Run], RunLogger]
_listening: list[RunLogger] = []  # the loggers of the job that runs in this process


@contextmanager
def open_loggers(run: Run) -> Iterator[None]:
    """Open the loggers that the environment names for a job, and close them after it.

    Raises: UserError for a logger that is not there, or whose package is not installed.
    """
    opened = list[RunLogger]()
    try:
        for opener in openers():
            opened.append(opener(run))
        _listening[:] = opened
        yield
    finally:
        _listening.clear()
        for one in opened:
            with suppress(Exception):  # the result does not depend on it
                one.close()


def openers() -> list[Opener]:
    """What opens the loggers that the environment names. Raises: UserError as `open_loggers`."""
    named = [name for part in os.environ.get(ENVIRONMENT_VARIABLE, "").split(",") if (name := part.strip())]
    return [_opener(name) for name in dict.fromkeys(named)]


def log_scalars(step: int, values: Mapping[str, float]) -> None:
    """Tell the loggers of the running job; one that fails is told no more, and the job goes on."""
    for one in _listening[:]:
        try:
            one.scalars(step, values)
        except Exception as error:  # whatever it is, it must not end the job
            log.warning("a logger failed and is left out: %s: %s", type(one).__name__, error)
            _listening.remove(one)


def _opener(name: str) -> Opener:
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name in found:
        opener: Opener = found[name].load()
        return opener
    if name not in SHIPPED:
        names = sorted({*found, *SHIPPED})
        near = get_close_matches(name, names, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        raise UserError(f"there is no logger {name!r}", where=ENVIRONMENT_VARIABLE, remedy=remedy)
    try:
        shipped: Opener = import_module(SHIPPED[name]).open_logger
    except ModuleNotFoundError as error:
        remedy = f"pip install {name}, or leave it out"
        raise UserError(
            f"{error.name} is not installed", where=f"{ENVIRONMENT_VARIABLE}={name}", remedy=remedy
        ) from error
    return shipped
