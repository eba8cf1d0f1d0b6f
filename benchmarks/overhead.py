"""What the pipeline adds to its stages: Snakemake on one core against the same commands one after the other by hand.

Two clones, each bound to a CPU core of its own, side by side, so that what disturbs one disturbs the other; a process a
stage on both sides. Then once more with the cores exchanged. Run in a clone:

    python benchmarks/overhead.py digits

Prints one JSON object: seconds of both sides in either turn, their mean ratio, and whether both made the same bytes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dcpipe.params import params_files
from dcpipe.workflow.graph import Graph

ROOT = Path(__file__).parents[1]


def clone(place: Path) -> Path:
    """A git clone without any artifact."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
    return place


def timed(root: Path, core: int, commands: list[str]) -> float:
    """Seconds of commands that must succeed, one after the other on one core."""
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": search, "PYTHONPATH": str(root / "src")}
    started = time.perf_counter()
    for command in commands:
        done = subprocess.run(
            ["taskset", "-c", str(core), "sh", "-c", command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def digests(root: Path) -> dict[str, str]:
    """The SHA-256 of every artifact file."""
    files = [path for path in (root / "artifacts").rglob("*") if path.is_file() and path.name[0] != "."]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def turn(place: Path, experiment: str, cores: tuple[int, int]) -> dict[str, object]:
    """Both sides at once: by hand on the first core, by Snakemake on the second."""
    by_hand, by_engine = clone(place / "hand"), clone(place / "engine")
    jobs = [job.command for job in Graph(by_hand).experiment_jobs(experiment)]
    engine = [f"snakemake --cores 1 --quiet all --config experiment={experiment}"]
    with ThreadPoolExecutor() as pool:
        hand = pool.submit(timed, by_hand, cores[0], jobs)
        workflow = pool.submit(timed, by_engine, cores[1], engine)
        seconds = hand.result(), workflow.result()
    return {
        "jobs": len(jobs),
        "by_hand_s": round(seconds[0], 1),
        "snakemake_s": round(seconds[1], 1),
        "ratio": round(seconds[1] / seconds[0], 3),
        "same_bytes": digests(by_hand) == digests(by_engine),
    }


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment", choices=params_files.available_names(ROOT, "experiments"), metavar="EXPERIMENT")
    parser.add_argument("--turns", type=int, choices=(1, 2), default=2)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error("both sides run at once: two cores are needed")
    found = []
    for number in range(given.turns):
        with tempfile.TemporaryDirectory() as folder:
            first, second = cores if number == 0 else cores[::-1]
            found.append(turn(Path(folder), given.experiment, (first, second)))
    ratios = [float(str(one["ratio"])) for one in found]
    print(json.dumps({"experiment": given.experiment, "turns": found, "ratio": round(sum(ratios) / len(ratios), 3)}))


if __name__ == "__main__":
    main()
