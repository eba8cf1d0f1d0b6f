"""bfloat16 beside float32: error of the hypergradient of the images, and time, of one outer iteration.

    python -m benchmarks.precision --json benchmarks/results/precision.json      # some minutes on one core

Errors are relative to the same iteration in float64; process time in turns in one process. What bfloat16 takes depends
on whether the processor has instructions for it (`bfloat16 instructions`).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.hypergradient import milliseconds, ours, processor, ratio, timed
from benchmarks.workloads import WORKLOADS, Workload
from dcpipe import device

STEPS = {"digits-ipc1": 20, "digits-ipc10": 20, "cifar10-ipc1-n50": 20, "tesla-cifar10-ipc1-n50": 20}
PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


def row(workload: Workload, steps: int, repeats: int) -> dict[str, Any]:
    """Errors and times of one workload."""
    exact = ours(workload, workload.problem(steps, torch.float64)[0], 0)()[0]
    ways = {one: ours(workload, workload.problem(steps, precision=one)[0], steps) for one in PRECISIONS}
    images = {one: way()[0].double() for one, way in ways.items()}
    spent = timed(ways, repeats)
    return {
        "inner_steps": steps,
        "relative_error": {one: float(f"{float((x - exact).norm() / exact.norm()):.1e}") for one, x in images.items()},
        "cosine": {one: round(float((x * exact).sum() / (x.norm() * exact.norm())), 4) for one, x in images.items()},
        "milliseconds_a_step": {one: milliseconds(times, steps) for one, times in spent.items()},
        "float32 / bfloat16": ratio(spent["float32"], spent["bfloat16"]),
    }


def main() -> None:
    """Every workload, printed and written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    device.configure_torch(1)
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").is_file() else []
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    found = {
        "command": " ".join(["python -m benchmarks.precision", *sys.argv[1:]]),
        "commit": git.stdout.strip(),
        "hardware": f"{processor()}, one thread",
        "bfloat16 instructions": sorted({one for one in flags if "bf16" in one}),
        "torch": torch.__version__,
        "workloads": {name: row(WORKLOADS[name], steps, asked.repeats) for name, steps in STEPS.items()},
    }
    asked.json.write_text(json.dumps(found, indent=2) + "\n")
    print(asked.json.read_text())


if __name__ == "__main__":
    main()
