"""Predicted against measured peak memory of jobs of every kind: one fresh process a job.

    python benchmarks/memory_prediction.py            # every kind of job of benchmarks/memory-prediction.yaml
    python benchmarks/memory_prediction.py mtt noise  # those whose name holds all of these words

A job is cut short (two iterations or epochs, six inner steps or a few more) and keeps its shapes: images, network,
batch, labels, hypergradient. Data and whitening are really made; experts and sets that a job reads are noise. Both
numbers are of the job as it ran. Measured is the peak of the process's resident memory from the job's start (VmHWM of
Linux, which counts the pages of libraries too), and the CPU time of the job. Prints a Markdown table.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dcpipe import device
from dcpipe.commands.rehearsal import job_kinds
from dcpipe.commands.rehearsal.inner_steps import inner_step_counts, with_inner_steps
from dcpipe.commands.rehearsal.noise_inputs import NoiseInputs
from dcpipe.data.location import ENVIRONMENT_VARIABLE
from dcpipe.params import experiment_file
from dcpipe.workflow import estimates, machine
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import STAGES

ROOT = Path(__file__).parents[1]
EXPERIMENT = "benchmarks/memory-prediction.yaml"
STEPS = 2
A_CLASS = 700  # images of noise
REAL = ("data", "whiten")  # stages whose artifacts other jobs read
HEAD = """| job | measured MB | predicted MB | ratio | CPU s | estimated s | ratio |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""
LONG = ("experts", "distill", "evaluate")


def planned() -> tuple[Graph, list[Job]]:
    """The experiment's graph, and one job of each kind."""
    file = experiment_file.load_experiment(ROOT, EXPERIMENT)
    graph = Graph(ROOT, file.inline_sections)
    jobs = [job for job in graph.experiment_jobs(file.name) if not job.is_view and job.stage != "metrics"]
    kinds: dict[tuple[str, ...], Job] = {}
    for job in jobs:
        like = dict(job.wildcards) | {"shard": "0"}
        if job.stage == "evaluate":  # sets of one size are evaluated alike, whatever made them
            like.pop("method")
        kinds.setdefault((job.stage, *like.values()), job)
    return graph, list(kinds.values())


def short(job: Job) -> Job:
    """The job, cut short."""
    if job.stage not in LONG or (job.stage == "distill" and job_kinds.method_of(job).outer is None):
        return job
    job = with_inner_steps(job, inner_step_counts(job).few)
    return replace(job, sections={**job.sections, **job_kinds.shortened_sections(job, STEPS)})


def provide(graph: Graph, job: Job, folder: Path) -> Job:
    """Make up the experts and the set that a job reads. Returns the job without the other shards of experts."""
    made = NoiseInputs(graph, folder, int(job.wildcards.get("ipc", 1)), 0).provide(job)
    kept = {name: paths for name, paths in job.inputs.items() if name == "whitening"}
    return replace(job, inputs={**made.inputs, **kept})


def run_one(name: str, folder: Path) -> None:
    """In a process of its own: run a job whose inputs are there, and print what it took."""
    graph, jobs = planned()
    (job,) = (job for job in jobs if job.name == name)
    job = replace(short(job), inputs={key: paths[:1] for key, paths in job.inputs.items()})
    beside = None if job.stage in REAL else folder / "measured" / name
    before = time.process_time()
    execute_job(job, folder, folder=beside, keep_state=False)
    spent = time.process_time() - before
    measured = device.peak_bytes()
    here, work = machine.load_machine(ROOT), STAGES[job.stage].estimate_work(graph, job)
    predicted = estimates.memory_bytes(here, work)
    sys.stdout.write(f"{measured} {predicted} {spent:.3f} {estimates.seconds(here, work):.3f}\n")


def _alone(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main(words: Sequence[str]) -> None:
    """Every kind of job."""
    jobs = planned()[1]
    machine.measure_machine(ROOT)
    with tempfile.TemporaryDirectory(prefix="dcpipe-memory-") as name:
        folder = Path(name)
        draws = np.random.default_rng(0)
        images = draws.integers(0, 256, (10 * A_CLASS, 32, 32, 3), dtype=np.uint8)
        np.savez(folder / "noise.npz", images=images, labels=np.arange(10 * A_CLASS) % 10)
        os.environ[ENVIRONMENT_VARIABLE] = name
        sys.stdout.write(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}\n\n")
        sys.stdout.write(HEAD)
        ratios = []
        for job in jobs:
            if job.stage not in REAL:
                if not all(word in job.name for word in words):
                    continue
                _alone("--provide", job.name, name)
            measured, predicted, spent, estimated = map(float, _alone("--run", job.name, name).split())
            ratios.append(predicted / measured)
            row = f"| {job.name} | {measured / 1e6:.0f} | {predicted / 1e6:.0f} | {ratios[-1]:.2f} "
            row += f"| {spent:.1f} | {estimated:.1f} | {estimated / spent:.2f} |\n"
            sys.stdout.write(row)
            sys.stdout.flush()
        sys.stdout.write(f"\n{len(ratios)} jobs: from {min(ratios):.2f} to {max(ratios):.2f}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_one(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--provide"]:
        graph_, jobs_ = planned()
        provide(graph_, next(job for job in jobs_ if job.name == sys.argv[2]), Path(sys.argv[3]))
    else:
        main(sys.argv[1:])
