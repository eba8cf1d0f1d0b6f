"""How long planning and recording take for an experiment of 1,000 jobs, and what they need in memory.

Every job is a small stand-in: real paths, params, code identity and cards, payloads of a few bytes. Run in a clone:

    python benchmarks/plan_and_record.py [--sets 100]
    python tests/cluster/slurm.py python benchmarks/plan_and_record.py --sets 200 --submit 100

Prints one JSON object: seconds and peak memory (of the largest process) of `snakemake -n`, of `dcpipe record`, and of
`dvc status` afterwards. With `--submit N` the jobs are also sent to SLURM by profiles/slurm, N to a submission, where
each copies its stand-in into place; what is recorded then is what the cluster made.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dcpipe.provenance import artifact, card
from dcpipe.workflow.graph import Graph

ROOT = Path(__file__).parents[1]
EXPERIMENT = """\
title: Many small jobs
description: Stand-ins, to time planning and recording.
runs:
  - datasets: [tiny]
    methods: [random]
    ipc: [1, 2, 3, 4, 5]
    sets: {sets}
    evaluations: [digits]
    networks: [native]
"""


def clone(place: Path, sets: int) -> None:
    """A git clone with one more experiment."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
    (place / "params/experiments/wide.yaml").write_text(EXPERIMENT.format(sets=sets))


def pretend(root: Path) -> int:
    """Publish a stand-in for every artifact; returns the number of jobs."""
    jobs = [job for job in Graph(root).experiment_jobs("wide") if not job.is_view]
    for job in jobs:
        with artifact.draft_artifact(root / job.folder) as draft:
            for name, path in job.outputs.items():
                if name == "card":
                    continue
                place = draft.path(Path(path).name)
                if path.endswith(".zarr"):
                    place.mkdir()
                    place = place / "zarr.json"
                place.write_text(job.name)
            draft.publish(card.identity(job, root))
    for path in (p for job in Graph(root).experiment_jobs("wide") if job.is_view for p in job.outputs.values()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("a stand-in")
    return len(jobs)


@dataclass(frozen=True, slots=True)
class Took:
    """What a command took, and what it said."""

    seconds: float
    peak_mb: float
    said: str


def timed(root: Path, *command: str, path: str = "") -> Took:
    """Run a command that must succeed, with some folder first on PATH."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "DCPIPE_NO_RECORD": "1"}
    environment["PATH"] = f"{path}:{Path(sys.executable).parent}:{os.environ['PATH']}".lstrip(":")
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=root, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        said.seek(0)
        text = said.read().decode()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(text)
    return Took(seconds, usage.ru_maxrss / 1000, text)


def take_away(root: Path) -> None:
    """Move every job's outputs to a stock, and put a `dcpipe` into `stock/bin` that copies them back, job by job."""
    for job in Graph(root).experiment_jobs("wide"):
        for path in job.outputs.values():
            place = root / "stock" / job.name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / path, place)
    shutil.rmtree(root / "artifacts")
    program = root / "stock/bin/dcpipe"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor log; do :; done\nexec cp -R "stock/$(basename "$log" .log)/." .\n')
    program.chmod(0o755)


def make(root: Path, *, away: bool) -> None:
    """Make the stand-ins, put them away where a cluster shall copy them, and print how many jobs have one."""
    jobs = pretend(root)
    if away:
        take_away(root)
    print(jobs)


def submit(root: Path, together: int) -> dict[str, object]:
    """Let a cluster copy all stand-ins into place; returns what that took."""
    groups = ["--groups", "distill=sets", "evaluate=scores"]
    groups += ["--group-components", f"sets={together}", f"scores={together}"]
    on_gpu = ["--set-resources", "distill:gpu=1", "distill:slurm_partition=gpu"]
    profile = ["--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "2"]
    command = ["snakemake", "--config", "experiment=wide", *profile, *groups, *on_gpu]
    took = timed(root, *command, path=str(root / "stock/bin"))
    numbers = re.findall(r"submitted with SLURM jobid (\d+)", took.said)
    return {"submit_s": round(took.seconds, 2), "submit_peak_mb": round(took.peak_mb), "submissions": len(numbers)}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--submit", type=int, metavar="N", help="send them to SLURM, so many a submission")
    parser.add_argument("--make-in", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sets < 1 or (given.submit is not None and given.submit < 1):
        parser.error("--sets and --submit need at least 1")
    if given.make_in:
        return make(given.make_in, away=given.submit is not None)
    found: dict[str, object] = {}

    def note(name: str, *command: str) -> None:
        took = timed(root, *command)
        found.update({f"{name}_s": round(took.seconds, 2), f"{name}_peak_mb": round(took.peak_mb)})

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "clone"
        clone(root, given.sets)
        note("export", "dcpipe", "graph", "export", "wide")
        # in a process of its own: a child's peak memory begins with its parent's
        making = [sys.executable, __file__, "--make-in", str(root), *(["--submit", "1"] if given.submit else [])]
        done = subprocess.run(making, check=True, capture_output=True, text=True)
        found["jobs"] = int(done.stdout)
        wide = ("--config", "experiment=wide", "--cores", "2")
        if not given.submit:
            note("snakemake_touch", "snakemake", *wide, "--touch", "--forceall")
        note("plan", "snakemake", *wide, "--dry-run")
        if given.submit:
            found |= submit(root, given.submit)
        note("record", "dcpipe", "record", "wide")
        note("dvc_status", "dvc", "status", "--with-deps", "experiments/wide/dvc.yaml")
    print(json.dumps({**found, "cores": os.cpu_count(), "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
