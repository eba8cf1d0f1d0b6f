"""Speed, memory and error of trajectory matching's hypergradient, beside the way of the public codes.

    python -m benchmarks.hypergradient --quick --json quick.json    # a minute on one core: few inner steps
    python -m benchmarks.hypergradient --json all.json              # every workload at its full length: an hour
    python -m benchmarks.hypergradient --curve cifar10-ipc1-n50 --json curve.json   # speed against a memory budget

Ours is as presets ship it, `kept_graphs: auto`; `none` and `all` stand beside. The peer is `benchmarks/public_way.py`.
Threads (one), allocator, draws and augmentation are the same on both sides, and all ways run in one process one after
the other in turns; what counts is process time, which neighbours on the machine disturb less than wall time. Memory is
the peak of a fresh process for each way. Time is linear in the inner steps, and so is memory in those that are kept: in
a quick run few steps stand for all, with `auto` the share of them that it keeps at full length.

`speed_ratio`: the smallest over workloads of the public way's time over ours. `memory_ratio`: the public way's peak
over ours at ten images per class. `gradient_relative_error`: the largest over workloads, of the images' derivative in
float64 at one image per class and two inner steps.
"""

import argparse
import json
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.public_way import Answer
from benchmarks.workloads import WORKLOADS, Workload
from dcpipe import device
from dcpipe.distillation.hypergradient import exact, graph_sizes, kept_graphs, per_step
from dcpipe.distillation.hypergradient.hypergradient_problem import Hypergradient, HypergradientProblem
from dcpipe.distillation.hypergradient.kept_graphs_config import AUTO_MEGABYTES, MEGABYTE
from dcpipe.params.network_name import parse

ROOT = Path(__file__).parents[1]
QUICK = {
    "digits-ipc1": 20,
    "digits-ipc10": 10,
    "cifar10-ipc1-n50": 2,
    "cifar10-ipc10-n30": 1,
    "tesla-cifar10-ipc1-n50": 1,
}
MEMORY = "cifar10-ipc10-n30"
CURVE_MEGABYTES = (0, 100, 300, 600)
DOUBLE_STEPS = 2
SHORTEST = 4.0  # seconds of all ways together
FEW = (2, 4)  # inner steps that memory is extrapolated from
MEMORY_GOAL, ERROR_GOAL = 10, 1e-9


def ours(workload: Workload, asked: HypergradientProblem, kept: int | None) -> Callable[[], Answer]:
    """Our way, with the last so many steps kept; None: without kept steps, as `kept_graphs: none` has it."""
    through = workload.kind == "exact"
    way: Hypergradient = exact.compute_hypergradient if through else per_step.compute_hypergradient
    if kept is not None:
        way = kept_graphs.budgeted_hypergradient(kept * graph_sizes.step_bytes(asked), through_parameters=through)
    return lambda: _images_and_step_size(way, asked)


def _images_and_step_size(way: Hypergradient, asked: HypergradientProblem) -> Answer:
    gradients = way(asked).gradients
    return gradients.images, gradients.step_size


def auto_steps(workload: Workload, asked: HypergradientProblem) -> int:
    """How many steps `auto` keeps at the workload's full length."""
    return min(workload.steps, AUTO_MEGABYTES * MEGABYTE // graph_sizes.step_bytes(asked))


def speed(workload: Workload, steps: int, repeats: int) -> dict[str, Any]:
    """Ratios of one workload, and its error."""
    asked, peer = workload.problem(steps)
    share = auto_steps(workload, asked) / workload.steps
    ways = {"peer": peer.of(workload.kind), "none": ours(workload, asked, None), "all": ours(workload, asked, steps)}
    full = steps == workload.steps
    if full and share < 1:
        ways["auto"] = ours(workload, asked, auto_steps(workload, asked))
    spent = timed(ways, repeats)
    if "auto" not in spent:
        pairs = zip(spent["none"], spent["all"], strict=True)
        spent["auto"] = [none + share * (every - none) for none, every in pairs]
    ratios = {name: ratio(spent["peer"], spent[name]) for name in ("none", "auto", "all")}
    return {
        "inner_steps": {"of the workload": workload.steps, "timed": steps},
        "milliseconds_a_step": {name: milliseconds(times, steps) for name, times in spent.items()},
        "milliseconds_a_step_of_its_convolutions": floor_milliseconds(workload),
        "peer / ours": ratios,
        "goal": workload.goal,
        "steps that auto keeps": auto_steps(workload, asked),
        "megabytes a kept step": round(graph_sizes.step_bytes(asked) / MEGABYTE, 1),
        "gradient_relative_error": relative_error(replace(workload, ipc=1, batch=None)),
    }


def timed(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Process seconds of every way in each turn but the first, which warms up; more turns where they are short."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    while min(len(times) for times in spent.values()) < repeats + 1 or sum(map(sum, spent.values())) < SHORTEST:
        for name, way in ways.items():
            started = time.process_time()
            way()
            spent[name].append(time.process_time() - started)
    return {name: times[1:] for name, times in spent.items()}


def milliseconds(times: Sequence[float], steps: int) -> float:
    """The median, for a step."""
    return round(1000 * statistics.median(times) / steps, 1)


def ratio(theirs: Sequence[float], own: Sequence[float]) -> dict[str, float]:
    """Median over turns, with the smallest and the largest."""
    found = [one / other for one, other in zip(theirs, own, strict=True)]
    return {name: round(of(found), 2) for name, of in (("median", statistics.median), ("low", min), ("high", max))}


def floor_milliseconds(workload: Workload) -> float:
    """What a step's convolutions and linear layers, nine times a forward pass, take at this machine's best rate."""
    x_NCHW, kernel = torch.randn(10, 128, 16, 16), torch.randn(128, 128, 3, 3)
    x_NCHW = x_NCHW.to(memory_format=torch.channels_last)
    way = partial(torch.conv2d, x_NCHW, kernel, padding=1)
    rate = 2 * 9 * 128 * x_NCHW.numel() / min(timed({"convolution": way}, 10)["convolution"])
    size = parse(workload.network).size(channels=workload.channels, image_size=workload.size, classes=workload.classes)
    return round(1000 * 9 * size.operations * workload.images / rate, 1)


@cache
def relative_error(workload: Workload) -> float:
    """How far the images' derivative is from the public way's in float64."""
    asked, peer = workload.problem(DOUBLE_STEPS, torch.float64)
    own, theirs = ours(workload, asked, DOUBLE_STEPS)()[0], peer.of(workload.kind)()[0]
    return float(f"{float((own - theirs).norm() / theirs.norm()):.1e}")


def peak_bytes(name: str, way: str, steps: int, kept: int) -> int:
    """The peak of a fresh process that takes one outer iteration by a way: peer or ours."""
    words = ["--peak", name, way, str(steps), str(kept)]
    command = [sys.executable, "-m", "benchmarks.hypergradient", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout)


def print_peak(name: str, way: str, steps: int, kept: int) -> None:
    """The work of that process."""
    asked, peer = WORKLOADS[name].problem(steps)
    (peer.of(WORKLOADS[name].kind) if way == "peer" else ours(WORKLOADS[name], asked, kept))()
    print(device.peak_bytes())


def memory(name: str, *, quick: bool) -> dict[str, Any]:
    """The peaks of both ways; in a quick run from those of few steps on."""
    workload = WORKLOADS[name]
    asked, _ = workload.problem(1)
    steps, kept = workload.steps, auto_steps(workload, asked)
    if not quick:
        peaks = {way: peak_bytes(name, way, steps, kept) for way in ("peer", "ours")}
        return {
            **peaks,
            "extrapolated": False,
            "steps kept": kept,
            "peer / ours": round(peaks["peer"] / peaks["ours"], 2),
        }
    few, more = ({way: peak_bytes(name, way, number, number) for way in ("peer", "ours")} for number in FEW)
    many = {"peer": steps, "ours": kept}
    peaks = {way: few[way] + (many[way] - FEW[0]) * (more[way] - few[way]) // (FEW[1] - FEW[0]) for way in few}
    peaks["ours"] += (steps - kept) * asked.start_P.nbytes
    return {**peaks, "extrapolated": True, "steps kept": kept, "peer / ours": round(peaks["peer"] / peaks["ours"], 2)}


def curve(name: str, repeats: int) -> dict[str, Any]:
    """Speed and memory of one workload by budgets of memory, from one step's to all graphs."""
    workload = WORKLOADS[name]
    asked, peer = workload.problem(workload.steps)
    step = graph_sizes.step_bytes(asked)
    budgets = [*(int(one * MEGABYTE // step) for one in CURVE_MEGABYTES), workload.steps]
    kept = sorted({min(one, workload.steps) for one in budgets})
    ways = {str(one): ours(workload, asked, one) for one in kept}
    spent = timed({"peer": peer.of(workload.kind), **ways}, repeats)
    points = [
        {
            "budget_megabytes": round(one * step / MEGABYTE),
            "steps_kept": one,
            "seconds": round(statistics.median(spent[str(one)]), 2),
            "peer / ours": ratio(spent["peer"], spent[str(one)]),
            "peak_bytes": peak_bytes(name, "ours", workload.steps, one),
        }
        for one in kept
    ]
    theirs = {"seconds": round(statistics.median(spent["peer"]), 2)}
    return {
        "workload": name,
        "points": points,
        "peer": {**theirs, "peak_bytes": peak_bytes(name, "peer", workload.steps, 0)},
    }


def measured(given: argparse.Namespace, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All that was asked for; each row is saved as it comes."""
    if given.curve:
        return {"curve": curve(given.curve, given.repeats)}
    names = given.workloads or list(QUICK if given.quick else WORKLOADS)
    # first, while this process is small: the public way's peak is more than half of some machines' memory
    peaks = memory(MEMORY, quick=given.quick or given.steps is not None)
    rows: dict[str, Any] = {}
    save({"unfinished": True, "workloads": rows, "memory": peaks})
    for name in names:
        few = QUICK.get(name, 2) if given.quick else given.steps
        rows[name] = speed(WORKLOADS[name], min(few or WORKLOADS[name].steps, WORKLOADS[name].steps), given.repeats)
        save({"unfinished": True, "workloads": rows, "memory": peaks})
    return {
        "speed_ratio": min(row["peer / ours"]["auto"]["median"] for row in rows.values()),
        "memory_ratio": peaks["peer / ours"],
        "gradient_relative_error": max(row["gradient_relative_error"] for row in rows.values()),
        "few inner steps stand for all": given.quick or given.steps is not None,
        "workloads": rows,
        "memory": {"workload": MEMORY, **peaks},
    }


def table(found: dict[str, Any]) -> str:
    """What was reached, beside what was asked for."""
    if "curve" in found:
        points = found["curve"]["points"]
        lines = [f"{'budget MB':>10} {'kept':>5} {'peer / ours':>12} {'peak MB':>8}"]
        for one in points:
            peak = one["peak_bytes"] / MEGABYTE
            lines.append(
                f"{one['budget_megabytes']:>10} {one['steps_kept']:>5} {one['peer / ours']['median']:>12} {peak:>8.0f}"
            )
        return "\n".join([*lines, f"the public way: {found['curve']['peer']['peak_bytes'] / MEGABYTE:.0f} MB"])
    lines = [f"{'public way / ours, time':26} {'none':>6} {'auto':>6} {'all':>6} {'goal':>6}"]
    for name, row in found["workloads"].items():
        ratios = " ".join(f"{one['median']:>6}" for one in row["peer / ours"].values())
        lines.append(f"{name:26} {ratios} {row['goal']:>6}")
    memory_line = f"peak memory of {MEMORY}: {found['memory_ratio']} times less (goal {MEMORY_GOAL})"
    error_line = f"largest relative error in float64: {found['gradient_relative_error']} (goal {ERROR_GOAL})"
    few = ["Few inner steps stand for all of a workload."] if found["few inner steps stand for all"] else []
    return "\n".join([*lines, memory_line, error_line, *few])


def main() -> None:
    """Measure, print a table, and write all numbers where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few inner steps, within a minute on one core")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, help="some of them instead of all")
    parser.add_argument("--steps", type=int, help="inner steps that are timed, instead of a workload's own")
    parser.add_argument("--repeats", type=int, default=2, help="turns, beside one that warms up")
    parser.add_argument("--curve", choices=WORKLOADS, help="speed of this workload against budgets of memory, alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    parser.add_argument("--peak", nargs=4, metavar=("WORKLOAD", "WAY", "STEPS", "KEPT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    device.configure_torch(1)
    if given.peak:
        name, way, steps, kept = given.peak
        print_peak(name, way, int(steps), int(kept))
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    hardware = f"{processor()}, one thread"
    told = {"command": shlex.join(["python", "-m", "benchmarks.hypergradient", *sys.argv[1:]])}
    told |= {
        "commit": commit.stdout.strip(),
        "hardware": hardware,
        "torch": torch.__version__,
        "repeats": given.repeats,
    }

    def save(found: dict[str, Any]) -> None:
        if given.json:
            given.json.write_text(json.dumps({**told, **found}, indent=1) + "\n")

    found = measured(given, save)
    save(found)
    print(table(found))


def processor() -> str:
    """Its model, where the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
