"""A repository's root for a test: the committed params in a folder of their own, ready to edit and to run jobs in."""

import io
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from dcpipe import cli
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.workflow import machine
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

ROOT = Path(__file__).parents[1]
CELL = {"dataset": "tiny", "method": "mtt", "ipc": 1, "set": 0}


def copy_params(to: Path) -> Path:
    """What planning reads, as it stands here; nothing that a job made."""
    shutil.copytree(ROOT / "params", to / "params")
    for name in ("constraints.txt", "code_identity.yaml", "equivalences.yaml"):
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, to / name)
    known = asdict(machine.Machine())  # so that a plan does not measure this machine's speed
    (to / "state").mkdir(exist_ok=True)
    (to / "state" / machine.FILE).write_text(json.dumps({platform.node(): known}))
    return to


def set_params(root: Path, file: str, values: Mapping[str, object]) -> None:
    """Give dotted keys of a file of params/ other values; the mappings on the way must be there."""
    tree = read_yaml(root / "params" / file)
    for key, value in values.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    (root / "params" / file).write_text(yaml.safe_dump(tree, sort_keys=False))


def make(root: Path, stage: str, **wildcards: str | int) -> Job:
    """Plan one job and run it."""
    job = Graph(root).make_job(stage, **wildcards)
    execute_job(job, root)
    return job


def make_inputs(root: Path, stage: str, **wildcards: str | int) -> Job:
    """Run everything below a job, but not the job."""
    graph = Graph(root)
    job = graph.make_job(stage, **wildcards)
    for path in (path for paths in job.inputs.values() for path in paths):
        maker = graph.job_that_makes(path)
        make_inputs(root, maker.stage, **maker.wildcards)
        if not (root / maker.folder / "card.json").exists():
            execute_job(maker, root)
    return job


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def dcpipe(root: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and standard output and error together, of a dcpipe command line in this process."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.chdir(root)
        patch.setattr(logging.getLogger("dcpipe"), "handlers", [])
        patch.setattr(sys, "argv", ["dcpipe", *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            cli.main()
    return int(str(left.value.code)), printed.getvalue()


def child(root: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process of its own, working in a root with this code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DCPIPE_")}
    defaults = {"DCPIPE_DEVICE": "cpu", "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**kept, **defaults, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
