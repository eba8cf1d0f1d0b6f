"""Where the time of one outer iteration of trajectory matching goes, by operation, as presets ship it.

    python -m benchmarks.iteration_profile cifar10-ipc1-n50 digits-ipc1 --json profile.json   # two minutes on one core

Self time on the CPU by torch's profiler, summed by kinds of operation; calls are of one inner step, forward and back.
`read a segment` is what reading the two checkpoints of an iteration takes, decompressed, beside the whole of it.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.hypergradient import ROOT, auto_steps, ours, processor
from benchmarks.workloads import WORKLOADS, Workload
from dcpipe import device
from dcpipe.experts import trajectory
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories, Recording
from dcpipe.models.build import build

KINDS = {
    "convolutions": ("convolution", "mkldnn_convolution", "conv"),
    "matrix products": ("mm", "addmm", "bmm", "matmul", "unfold", "im2col", "col2im"),
    "pooling and unpooling": ("pool", "upsample", "repeat_interleave"),
    "sums and means": ("sum", "mean", "var", "norm", "softmax"),
    "copies and layouts": ("copy", "clone", "contiguous", "cat", "index", "gather", "fill", "zero", "empty", "select"),
    "augmentation's sampling": ("grid_sampler", "affine_grid"),
}
ELEMENTWISE = "element by element"
TURNS = 5
CHECKPOINTS = 6


def kind_of(operation: str) -> str:
    """The kind of an operation, by the first word of KINDS that its name holds."""
    name = operation.removeprefix("aten::")
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), ELEMENTWISE)


def profiled(workload: Workload) -> dict[str, Any]:
    """Shares of one iteration, the second that is taken."""
    asked, _ = workload.problem(workload.steps)
    way = ours(workload, asked, auto_steps(workload, asked))
    way()
    started = time.process_time()
    way()
    seconds = time.process_time() - started
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        way()
    spent: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, int] = defaultdict(int)
    for event in seen.key_averages():
        if event.key.startswith("aten::"):
            spent[kind_of(event.key)] += event.self_cpu_time_total
            calls[kind_of(event.key)] += event.count
    total = sum(spent.values())
    reading = segment_seconds(workload)
    return {
        "inner_steps": workload.steps,
        "seconds": round(seconds, 3),
        "share of time": {
            name: round(one / total, 3) for name, one in sorted(spent.items(), key=lambda item: -item[1])
        },
        "calls a step": {name: round(calls[name] / workload.steps) for name in spent},
        "read a segment": {"milliseconds": round(1000 * reading, 1), "of an iteration": round(reading / seconds, 4)},
    }


def segment_seconds(workload: Workload) -> float:
    """The median of reading two checkpoints of this workload's network from a store."""
    model = build(workload.network, channels=workload.channels, image_size=workload.size, classes=workload.classes)
    theta_EP = torch.randn(CHECKPOINTS, model.num_parameters, generator=torch.Generator().manual_seed(0))
    nothing = [0.0] * CHECKPOINTS
    lengths = [[0.0] * len(model.layout)] * (CHECKPOINTS - 1)
    recording = Recording(theta_EP, nothing[1:], nothing, lengths)
    layout = ParameterLayout.from_specs(workload.network, model.layout)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.zarr"
        epochs = range(CHECKPOINTS)
        trajectory.write(path, [recording], epochs=epochs, layout=layout, codec="blosc-bitshuffle-zstd", level=3)
        experts = RecordedTrajectories([path], layout)
        taken = []
        for turn in range(TURNS):
            started = time.perf_counter()
            experts.at(0, turn % 4), experts.at(0, turn % 4 + 2)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    """Profile, print, and write all numbers where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", choices=WORKLOADS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    given = parser.parse_args()
    device.configure_torch(1)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {name: profiled(WORKLOADS[name]) for name in given.workloads}
    for name, row in found.items():
        print(f"{name}: {row['seconds']} s, {row['inner_steps']} steps")
        for kind, share in row["share of time"].items():
            print(f"  {kind:26} {100 * share:>5.1f} %  {row['calls a step'][kind]:>5} calls a step")
        print(f"  reading a segment takes {row['read a segment']['milliseconds']} ms")
    if given.json:
        told = {
            "command": f"python -m benchmarks.iteration_profile {' '.join(given.workloads)}",
            "commit": commit.stdout.strip(),
            "hardware": f"{processor()}, one thread",
            "torch": torch.__version__,
        }
        given.json.write_text(json.dumps(told | {"workloads": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
