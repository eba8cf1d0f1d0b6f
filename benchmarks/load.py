"""What large things need: a report of thousands of cells, and a trajectory store that is larger than memory.

    python -m benchmarks.load --cells 5000 --gigabytes 10 --folder /tmp/load --json load.json

The cells are stand-ins (real paths, params, code identity, cards, drawn accuracies) over one real set for each
number of images per class, in a clone; planning and the report are real. The store holds random parameters of
CIFAR-10's ConvNet, which compress little, and is read in random order by a process of its own, beside whose peak stands
what the libraries take.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plan_and_record import ROOT, timed
from dcpipe.provenance import artifact, card
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

NAME = "cells"
IPC = (1, 2)
NETWORKS = ("native", "convnet2-w16", "convnet2-w8", "convnet2-w4", "mlp")
PROTOCOLS = ("digits", "digits-hard")
EACH = len(IPC) * len(NETWORKS) * len(PROTOCOLS)
EXPERTS, EPOCHS, READS = 20, 50, 3000  # of a shard, of an expert, of the store
MEGABYTE = 1e6


def experiment(presets: int) -> str:
    """An experiment of so many presets, each with EACH cells."""
    names = [f"r-{number}" for number in range(presets)]
    tree = {
        "title": "Many cells",
        "description": "Stand-ins, to load planning and the report.",
        "presets": {
            name: {"base": "random", "description": f"Random images, seed {number}.", "label": name, "seed": number}
            for number, name in enumerate(names)
        },
        "runs": [
            {
                "datasets": ["tiny"],
                "methods": names,
                "ipc": list(IPC),
                "sets": 1,
                "evaluations": list(PROTOCOLS),
                "networks": list(NETWORKS),
            }
        ],
    }
    return json.dumps(tree)


def pretend(root: Path) -> None:
    """Publish the sets as copies of the first preset's, and scores that are drawn."""
    draws = np.random.default_rng(0)
    for job in Graph(root).experiment_jobs(NAME):
        if job.stage == "distill" and not (root / job.folder).is_dir():
            first = root / f"artifacts/synthetic/tiny/r-0/ipc{job.wildcards['ipc']}/set0"
            publish(root, job, lambda draft, job=job, first=first: copy_payloads(job, first, draft))
        if job.stage == "evaluate":
            network = job.wildcards["network"].replace("native", "convnet2-w32")
            found = [round(float(draws.normal(60, 5)), 2) for _ in range(3)]
            scores = {"accuracies": found, "mean": statistics.fmean(found), "std": statistics.pstdev(found), "n": 3}
            text = json.dumps({**scores, "selection": "last", "network": network})
            publish(root, job, lambda draft, text=text: draft.path("scores.json").write_text(text))


def publish(root: Path, job: Job, write: Callable[[artifact.Draft], object]) -> None:
    """An artifact with its card."""
    with artifact.draft_artifact(root / job.folder) as draft:
        write(draft)
        draft.publish(card.identity(job, root))


def copy_payloads(job: Job, folder: Path, draft: artifact.Draft) -> None:
    """All but the card."""
    for name, path in job.outputs.items():
        if name != "card":
            shutil.copy(folder / Path(path).name, draft.path(Path(path).name))


def cells(folder: Path, count: int) -> dict[str, Any]:
    """Seconds and peaks of planning and of the report."""
    root = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
    (root / f"{NAME}.yaml").write_text(experiment(count // EACH))
    found: dict[str, Any] = {"cells": count // EACH * EACH}
    timed(root, "dcpipe", "plan", f"{NAME}.yaml")  # measures the machine
    timed(root, "snakemake", "--config", f"experiment={NAME}.yaml", "--dry-run", "--quiet", "all")  # writes definitions
    timed(root, "dcpipe", "data", "tiny")
    for ipc in IPC:
        timed(root, "dcpipe", "distill", "tiny", "r-0", "--ipc", str(ipc), "--set", "0")
    subprocess.run([sys.executable, "-m", "benchmarks.load", "--pretend", str(root)], check=True, cwd=ROOT)
    for name in ("plan", "metrics", "report"):
        took = timed(root, "dcpipe", name, NAME)
        found[name] = {"seconds": round(took.seconds, 1), "peak_mb": round(took.peak_mb)}
    found["page_mb"] = round((root / f"results/{NAME}/report.html").stat().st_size / MEGABYTE, 1)
    return found


def write_store(folder: Path, gigabytes: float) -> None:
    """Shards of random parameters, so many GB in all."""
    import torch

    from dcpipe.experts import trajectory
    from dcpipe.experts.trajectory import Recording

    layout, parameters, tensors = store_layout()
    folder.mkdir(parents=True)
    for shard in range(max(1, round(gigabytes * 1e9 / (4 * parameters * (EPOCHS + 1) * EXPERTS)))):
        draws = torch.Generator().manual_seed(shard)
        lengths = [[0.0] * tensors] * EPOCHS
        recordings = [
            Recording(
                torch.randn(EPOCHS + 1, parameters, generator=draws), [0.0] * EPOCHS, [0.0] * (EPOCHS + 1), lengths
            )
            for _ in range(EXPERTS)
        ]
        path, epochs = folder / f"shard{shard}.zarr", range(EPOCHS + 1)
        trajectory.write(path, recordings, epochs=epochs, layout=layout, codec="blosc-bitshuffle-zstd", level=3)


def store_layout() -> tuple[Any, int, int]:
    """Of CIFAR-10's ConvNet: the layout, numbers and tensors of a checkpoint."""
    from dcpipe.experts.trajectory import ParameterLayout
    from dcpipe.models.build import build

    model = build("convnet3", channels=3, image_size=32, classes=10)
    return ParameterLayout.from_specs("convnet3", model.layout), model.num_parameters, len(model.layout)


def read_store(folder: Path) -> None:
    """Print the peak before and after reading, and milliseconds a read."""
    from dcpipe.experts.trajectory import RecordedTrajectories

    layout, _, _ = store_layout()
    libraries = peak_megabytes()
    experts, draws = RecordedTrajectories(sorted(folder.glob("*.zarr")), layout), np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(READS):
        experts.at(int(draws.integers(experts.num_experts)), int(draws.integers(EPOCHS + 1)))
    milliseconds = 1000 * (time.perf_counter() - started) / READS
    own = {"libraries_mb": libraries, "peak_mb": peak_megabytes(), "milliseconds_a_read": round(milliseconds, 1)}
    print(json.dumps({"experts": experts.num_experts, "reads": READS, **own}))


def peak_megabytes() -> int:
    """Of this process."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def store(folder: Path, gigabytes: float) -> dict[str, Any]:
    """The peak of reading a store of so many GB of parameters."""
    place = folder / "store"
    # in processes of their own: a child's peak memory begins with its parent's
    module = [sys.executable, "-m", "benchmarks.load"]
    subprocess.run([*module, "--write", str(place), "--gigabytes", str(gigabytes)], check=True, cwd=ROOT)
    on_disk = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    done = subprocess.run([*module, "--read", str(place)], check=True, capture_output=True, text=True, cwd=ROOT)
    return {"gigabytes_on_disk": round(on_disk / 1e9, 1), **json.loads(done.stdout)}


def main() -> None:
    """Measure, print, and write all numbers where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=0, help=f"cells of a report, in steps of {EACH}")
    parser.add_argument("--gigabytes", type=float, default=0.0, help="of a trajectory store")
    parser.add_argument("--folder", type=Path, help="a new folder for all of it, which stays")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    parser.add_argument("--pretend", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pretend:
        return pretend(given.pretend)
    if given.write:
        return write_store(given.write, given.gigabytes)
    if given.read:
        return read_store(given.read)
    if given.gigabytes < 0 or given.cells < 0 or 0 < given.cells < EACH:
        parser.error(f"--cells needs {EACH} at least, and --gigabytes more than 0")
    if given.folder is None or given.folder.exists() or not (given.cells or given.gigabytes):
        parser.error("name a --folder that does not exist yet, and --cells or --gigabytes")
    given.folder.mkdir(parents=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = {
        "commit": commit.stdout.strip(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
    }
    if given.gigabytes:
        found["store"] = store(given.folder, given.gigabytes)
    if given.cells:
        found["report"] = cells(given.folder, given.cells)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
