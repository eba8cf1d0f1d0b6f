"""How long each stage takes to end after a signal, and whether it then goes on to the same bytes.

    python benchmarks/sigterm.py [--moments 10] [--seed 0] [--signal SIGTERM] [JOB ...]

In a folder where the experiments are complete (a clone in which `snakemake` ran). A job is removed and run whole by
its own command; it is removed again, the signal comes at a random moment of the seconds it takes, the same command goes
on, and payloads are compared with those of the whole run. JOB is a command without `dcpipe`, as in
"experts digits plain --shard 0"; without any, those of `tiny`. Prints a row per stage.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job


def digests(job: Job) -> dict[str, str]:
    """SHA-256 of the job's files, cards left out."""
    files = [path for output in job.outputs.values() for path in (Path(output), *Path(output).rglob("*"))]
    payloads = [path for path in files if path.is_file() and path.name not in {"card.json", "report.html"}]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in payloads}


def remove(job: Job) -> None:
    """Remove the job's artifact."""
    for output in job.outputs.values():
        shutil.rmtree(output) if Path(output).is_dir() else Path(output).unlink(missing_ok=True)


def start(job: Job) -> "subprocess.Popen[bytes]":
    """Begin the job's own command."""
    command = [sys.executable, "-m", "dcpipe", *job.command.split()[1:]]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(job: Job, moments: int, draws: random.Random, sent: signal.Signals) -> tuple[float, float, int, int]:
    """Seconds of the whole job, most seconds until it left, and how often it still ran, and bytes then differed."""
    remove(job)
    began = time.monotonic()
    assert start(job).wait() == 0, f"{job.command} failed"
    whole = time.monotonic() - began
    before = digests(job)
    worst, hit, other = 0.0, 0, 0
    for _ in range(moments):
        remove(job)
        process = start(job)
        time.sleep(draws.uniform(0.0, whole))
        running = process.poll() is None
        moment = time.monotonic()
        process.send_signal(sent)
        code = process.wait()
        hit += running
        worst = max(worst, time.monotonic() - moment)
        assert code in {0, 75, -sent}, f"{job.name} left with {code}"
        assert code == 0 or start(job).wait() == 0, f"{job.name} does not go on"
        other += digests(job) != before
    return whole, worst, hit, other


def chosen(words: list[str]) -> list[Job]:
    """One job of each stage of tiny, or those whose commands are given."""
    jobs = Graph(Path()).experiment_jobs("tiny")
    if not words:
        return list({job.stage: job for job in jobs}.values())
    graph = Graph(Path())
    every = [
        job
        for name in sorted(path.stem for path in Path("params/experiments").glob("*.yaml"))
        for job in graph.experiment_jobs(name)
    ]
    return [next(job for job in every if job.command.split(" --log ")[0] == f"dcpipe {text}") for text in words]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", type=signal.Signals.__getitem__, default=signal.SIGTERM, metavar="NAME")
    asked = parser.parse_args()
    draws = random.Random(asked.seed)  # noqa: S311 (moments, no secrets)
    print(f"{'stage':<10}{'job s':>8}{'most s until it left':>22}{'heard while running':>21}{'other bytes':>13}")
    for job in chosen(asked.jobs):
        whole, worst, hit, other = measure(job, asked.moments, draws, asked.signal)
        print(f"{job.stage:<10}{whole:>8.1f}{worst:>22.2f}{hit:>18} of {asked.moments}{other:>10}", flush=True)


if __name__ == "__main__":
    main()
