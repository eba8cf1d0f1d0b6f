"""The few commands of DVC that this project uses, each as a process; what it calls directly is in `dvc_private`."""

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dcpipe.engines import dvc_yaml
from dcpipe.errors import DcpipeError


def run_dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC and return what it said.

    Raises: DcpipeError if DVC is not installed here.
    """
    try:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DcpipeError(f"DVC cannot be started ({error.strerror})", remedy="pip install dvc") from error


def dvc_status(root: Path, experiment: str) -> str:
    """What DVC says differs from dvc.lock in an experiment and its dependencies; empty when it is clean."""
    done = run_dvc(root, "status", "--with-deps", dvc_yaml.experiment_dvc_yaml(experiment))
    text = done.stdout.strip()
    if done.returncode:
        raise DcpipeError(f"dvc status failed: {_last_line(done.stderr)}", remedy="run `dvc status` to see more")
    return "" if "up to date" in text else text


def dvc_repro(root: Path, experiment: str) -> None:
    """`dvc repro` of an experiment; DVC writes to the terminal itself.

    Raises: DcpipeError if a job failed, or DVC cannot be started.
    """
    file = dvc_yaml.experiment_dvc_yaml(experiment)
    code = subprocess.run([sys.executable, "-m", "dvc", "repro", file], cwd=root, check=False).returncode
    if code:
        raise DcpipeError(f"dvc repro stopped with exit code {code}", where=file, remedy="see the lines above")


def configure(root: Path, key: str, value: str) -> None:
    """Set an option of DVC for this clone alone, outside git."""
    done = run_dvc(root, "config", "--local", key, value)
    if done.returncode:
        raise DcpipeError(f"dvc config failed: {_last_line(done.stderr)}", where=key)


def relink(root: Path, experiment: str, folders: Iterable[str]) -> None:
    """Put links into the cache in the place of an experiment's recorded files, in these folders of its jobs.

    Links and what they lead to keep the times of the files, which Snakemake goes by; what several files share gets the
    time of the oldest.
    """
    files = [file for folder in folders for file in (root / folder).rglob("*") if not file.is_dir()]
    times = {file: file.lstat().st_mtime_ns for file in files if not file.is_symlink()}
    done = run_dvc(root, "checkout", "--relink", "--with-deps", dvc_yaml.experiment_dvc_yaml(experiment))
    if done.returncode:
        raise DcpipeError(f"dvc checkout --relink failed: {_last_line(done.stderr)}", where=experiment)
    for file, time in sorted(times.items(), key=lambda item: -item[1]):
        os.utime(file, ns=(time, time), follow_symlinks=False)
        with suppress(PermissionError):  # a cache of several people
            os.utime(file, ns=(time, time))


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
