"""What this machine must have before a job spends anything: the right torch, a device that is there, a compiler.

Nothing here reaches the numbers.
"""

import os
import re
import shutil
from importlib import metadata

from dcpipe.errors import UserError
from dcpipe.workflow.job import Job

OLDEST_TORCH = (2, 11)  # as in pyproject.toml
DEVICE = "DCPIPE_DEVICE"
COMPILERS = ("g++", "clang++", "c++")


def require_torch() -> None:
    """Raises: UserError if torch is not installed, or older than what the project is written for."""
    oldest = ".".join(map(str, OLDEST_TORCH))
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError as error:
        remedy = f"pip install 'torch>={oldest}', or run `make run`, which sets everything up"
        raise UserError("torch is not installed", remedy=remedy) from error
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if not numbers or tuple(map(int, numbers.groups())) < OLDEST_TORCH:
        raise UserError(f"torch {version} is too old", remedy=f"pip install 'torch>={oldest}'")


def require_environment(job: Job) -> None:
    """Raises: UserError if a device is asked for that is not here, or a compiler is needed that is not."""
    _require_device()
    for section in job.sections.values():
        compute = getattr(section, "compute", None)
        if compute is not None and compute.backend == "compiled":
            _require_compiler(job)


def _require_device() -> None:
    named = os.environ.get(DEVICE, "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", named):
        raise UserError(f"{named!r} is not a device", where=DEVICE, remedy="write cpu, cuda or cuda:0, or unset it")
    if named == "cpu":
        return
    import torch

    count = torch.cuda.device_count()
    if int(named.partition(":")[2] or 0) >= count:
        remedy = "unset it, or write cpu" if count == 0 else f"write cuda:0 to cuda:{count - 1}"
        raise UserError(f"{named} is asked for, and torch finds {count} CUDA devices", where=DEVICE, remedy=remedy)


def _require_compiler(job: Job) -> None:
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else COMPILERS)):
        where = next(
            (f"{file}: {key}" for file, values in job.params.items() for key in values if "backend" in key), ""
        )
        problem = f"the backend compiled needs a C++ compiler, and there is no {named or ' or '.join(COMPILERS)}"
        raise UserError(problem, where=where or None, remedy="install one (and name it in CXX), or write eager")
