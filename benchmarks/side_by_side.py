"""What training an evaluation's networks side by side costs, against one after the other.

    python benchmarks/side_by_side.py [--device cuda] [--networks 5] [--repeats 5]

Both ways train the same fresh networks on the same random images, interleaved, by the protocol's own code, with a tenth
or less of its passes. Prints one JSON object: milliseconds for each pass over the set of all networks together (the
fastest of the repeats; process time on a CPU with one thread, so that neighbours do not count), the ratio (above 1:
side by side is faster), and the largest difference between parameters of the two ways.
"""

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation import protocol, side_by_side
from dcpipe.evaluation.protocol import TrainedNetwork
from dcpipe.models.build import build
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream

ROOT = Path(__file__).parents[1]
RATE = 0.01
# dataset of the params, network, images per class, protocol, passes
SIZES = (
    ("digits", "convnet2-w64", 1, "digits", 30),
    ("digits", "convnet2-w64", 10, "digits", 12),
    ("digits", "mlp", 1, "digits", 60),
    ("digits", "convnet2-w64-batch", 1, "digits", 30),
    ("cifar10", "convnet3", 1, "mtt", 4),
    ("cifar10", "convnet3", 10, "mtt", 1),
)
SHAPES = {"digits": (1, 8), "cifar10": (3, 32)}  # channels and pixels per side


def measure(
    one: tuple[str, str, int, str, int], device: torch.device, networks: int, repeats: int
) -> dict[str, object]:
    """Both ways at one size."""
    dataset, network, ipc, evaluation, passes = one
    channels, side = SHAPES[dataset]
    evaluation_config = replace(ParamsLibrary(ROOT).evaluation(evaluation, dataset, ipc)[1], epochs=passes - 1)
    model = build(network, channels=channels, image_size=side, classes=10)
    images = torch.randn(10 * ipc, channels, side, side, generator=Stream.root(0, "images").generator())
    labels = torch.arange(10).repeat_interleave(ipc)
    synthetic = SyntheticSet(images, labels, torch.tensor(RATE, dtype=torch.float64)).to(device)
    streams = [Stream.root(0, "network", index) for index in range(networks)]
    ways: dict[str, Callable[[], Sequence[TrainedNetwork]]] = {
        "sequential": lambda: [protocol.train(model, synthetic, evaluation_config, RATE, stream) for stream in streams],
        "side_by_side": lambda: side_by_side.train(model, synthetic, evaluation_config, RATE, streams),
    }
    found = {name: way() for name, way in ways.items()}  # warm, too
    spent = {name: min(times) for name, times in _times(ways, device, repeats).items()}
    pairs = zip(found["sequential"], found["side_by_side"], strict=True)
    return {
        "dataset": dataset,
        "network": network,
        "ipc": ipc,
        "protocol": evaluation,
        **{f"{name}_ms_a_pass": round(1000 * seconds / passes, 2) for name, seconds in spent.items()},
        "ratio": round(spent["sequential"] / spent["side_by_side"], 2),
        "largest_difference": max(float((one.theta_P - other.theta_P).abs().max()) for one, other in pairs),
    }


def _times(ways: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = _now(device)
            way()
            spent[name].append(_now(device) - started)
    return spent


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    device = torch.device(asked.device)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, one thread"
    options = f"--device {asked.device} --networks {asked.networks} --repeats {asked.repeats}"
    told = {
        "command": f"python benchmarks/side_by_side.py {options}",
        "commit": commit.stdout.strip(),
        "hardware": hardware,
        "torch": torch.__version__,
        "rows": [measure(one, device, asked.networks, asked.repeats) for one in SIZES],
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
