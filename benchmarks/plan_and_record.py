"""How long planning and recording take for an experiment of 1,000 jobs.

Every job is a small stand-in: real paths, params, code identity and cards, payloads of a few bytes. Run in a clone:

    python benchmarks/plan_and_record.py [--sets 100]

Prints one JSON object: seconds of `snakemake -n` (planning), of `dcpipe record`, and of `dvc status` afterwards.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dcpipe import artifact, card
from dcpipe.graph import Graph

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
    jobs = [job for job in Graph(root).jobs("wide") if not job.is_view]
    for job in jobs:
        with artifact.drafting(root / job.folder) as draft:
            for name, path in job.outputs.items():
                if name == "card":
                    continue
                place = draft.path(Path(path).name)
                if path.endswith(".zarr"):
                    place.mkdir()
                    place = place / "zarr.json"
                place.write_text(job.name)
            draft.publish(card.identity(job, root))
    for path in (p for job in Graph(root).jobs("wide") if job.is_view for p in job.outputs.values()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("a stand-in")
    return len(jobs)


def timed(root: Path, *command: str) -> float:
    """Seconds of a command that must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "DCPIPE_NO_RECORD": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=100)
    sets = parser.parse_args().sets
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "clone"
        clone(root, sets)
        export = timed(root, "dcpipe", "graph", "export")
        jobs = pretend(root)
        wide = ("--config", "experiment=wide", "--cores", "2")
        touch = timed(root, "snakemake", *wide, "--touch", "--forceall")
        found = {
            "jobs": jobs,
            "export_s": export,
            "snakemake_touch_s": touch,
            "plan_s": timed(root, "snakemake", *wide, "--dry-run"),
            "record_s": timed(root, "dcpipe", "record", "wide"),
            "dvc_status_s": timed(root, "dvc", "status", "--with-deps", "experiments/wide/dvc.yaml"),
        }
        shutil.rmtree(root / "artifacts")
    found = {name: round(value, 2) for name, value in found.items()}
    print(json.dumps({**found, "cores": os.cpu_count(), "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
