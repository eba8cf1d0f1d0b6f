"""Training networks beside the public way: steps of experts on real-sized batches, and of evaluations on small sets.

    python -m benchmarks.training --json benchmarks/results/training.json      # two minutes on one core

The public way is an `nn.Module` and `torch.optim.SGD`, as MTT's code trains experts and tests sets: augment, forward,
cross-entropy, backward, step, and the batch's loss and hits read for the log. Ours is `eager` (autograd through one
vector of parameters) and `analytic` (`compute.backend: analytic`). Draws and augmentation are the same functions on all
sides, all ways run in one process in turns, and what counts is process time. Images are random numbers, which time does
not mind.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.hypergradient import ROOT, milliseconds, processor, ratio, timed
from benchmarks.workloads import STRATEGY
from dcpipe import device
from dcpipe.data import augment
from dcpipe.experts.analytic_pass import analytic_pass
from dcpipe.experts.flatness_config import PlainSteps
from dcpipe.experts.step import PassFunction, TrainingStep, forward_backward
from dcpipe.models.build import build
from dcpipe.models.sgd import SGD
from dcpipe.params.network_name import parse

RATE, MOMENTUM = 0.01, 0.9


@dataclass(frozen=True)
class Training:
    """A network on batches of so many images; `steps` in a turn, with or without DSA."""

    network: str
    channels: int
    size: int
    batch: int
    steps: int
    augmented: bool = True
    momentum: float = 0.0  # experts of MTT; evaluations have MOMENTUM

    def ways(self) -> dict[str, Callable[[], object]]:
        """The public way and ours, on the same images."""
        shape = {"channels": self.channels, "image_size": self.size, "classes": 10}
        draws = torch.Generator().manual_seed(0)
        images = torch.randn(self.batch, self.channels, self.size, self.size, generator=draws)
        labels = torch.arange(self.batch) % 10
        return {
            "peer": lambda: self._public(parse(self.network).build(**shape), images, labels),
            "eager": lambda: self._ours(forward_backward, images, labels),
            "analytic": lambda: self._ours(analytic_pass(self.network, **shape), images, labels),
        }

    def _public(self, network: nn.Module, images_NCHW: Tensor, labels: Tensor) -> tuple[float, int]:
        optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=self.momentum)
        draws, loss_sum, hits = torch.Generator().manual_seed(0), 0.0, 0
        augmented = self._step(forward_backward).augmented
        for _ in range(self.steps):
            logits = network(augmented(images_NCHW, draws))
            loss = nn.functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(labels)
            hits += int((logits.argmax(1) == labels).sum())
        return loss_sum, hits

    def _ours(self, run_pass: PassFunction, images_NCHW: Tensor, labels: Tensor) -> float:
        step = self._step(run_pass)
        draws, total = torch.Generator().manual_seed(0), torch.zeros(())
        optimiser, theta_P = SGD(RATE, self.momentum, 0.0), step.model.initial_parameters(draws)
        for _ in range(self.steps):
            loss, direction_P, _ = step(theta_P, images_NCHW, labels, draws)
            theta_P = optimiser.step(theta_P, direction_P)
            total += loss * len(labels)
        return float(total)

    def _step(self, run_pass: PassFunction) -> TrainingStep:
        model = build(self.network, channels=self.channels, image_size=self.size, classes=10)
        strategy = augment.parse_strategy(STRATEGY if self.augmented else "none")
        return TrainingStep(model, strategy, PlainSteps(kind="none").build(), run_pass)


ROWS = {
    "experts of CIFAR-10, batch 256": Training("convnet3", 3, 32, 256, 2),
    "experts of digits, batch 64": Training("convnet2-w64", 1, 8, 64, 20, augmented=False),
    "evaluation of CIFAR-10, 1 image per class": Training("convnet3", 3, 32, 10, 20, momentum=MOMENTUM),
    "evaluation of CIFAR-10, 10 images per class": Training("convnet3", 3, 32, 100, 4, momentum=MOMENTUM),
    "evaluation of digits, 1 image per class": Training("convnet2-w64", 1, 8, 10, 60, False, MOMENTUM),
    "evaluation of digits, 10 images per class": Training("convnet2-w64", 1, 8, 100, 20, False, MOMENTUM),
}
GOAL = 1.3


def row(training: Training, repeats: int) -> dict[str, Any]:
    """Times of a step, and the public way's over ours."""
    spent = timed(training.ways(), repeats)
    return {
        "milliseconds_a_step": {name: milliseconds(times, training.steps) for name, times in spent.items()},
        "peer / ours": {name: ratio(spent["peer"], spent[name]) for name in ("eager", "analytic")},
        "goal": GOAL,
    }


def main() -> None:
    """Measure, print a table, and write all numbers where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4, help="turns, beside one that warms up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    given = parser.parse_args()
    device.configure_torch(1)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {name: row(training, given.repeats) for name, training in ROWS.items()}
    print(f"{'public way / ours, time':46} {'eager':>18} {'analytic':>18} {'goal':>5}")
    for name, one in found.items():
        ratios = ("{median} ({low}-{high})".format(**spread) for spread in one["peer / ours"].values())
        print(f"{name:46} {' '.join(f'{text:>18}' for text in ratios)} {one['goal']:>5}")
    if given.json:
        told = {
            "command": "python -m benchmarks.training",
            "commit": commit.stdout.strip(),
            "hardware": f"{processor()}, one thread",
            "torch": torch.__version__,
            "repeats": given.repeats,
        }
        given.json.write_text(json.dumps(told | {"rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
