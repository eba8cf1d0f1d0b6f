"""How large an experiment this machine makes in a given time: measured speed, a cost model, and what fits.

A network's training step is measured for a moment; the cost of every kind of job is a multiple of it. A forward pass
is a third of a training step, and an inner step with its hypergradient about four.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from dcpipe.commands.new.survey import Survey
from dcpipe.data import image_files
from dcpipe.models.build import build
from dcpipe.random import Stream

SHARE_OF_EXPERTS = 0.25  # of the time that there is, at most
MEASURED_SECONDS = 0.5  # how long one training step is repeated
JOB_SECONDS = 4.0  # every job's start: a process that imports torch
AUGMENTED = 1.5  # a training step with augmentation and its optimiser, in plain ones
FORWARD, HYPERGRADIENT = 1 / 3, 4.0  # in training steps
SMALL_BATCH, LARGE_BATCH = 8, 64

TEST_SHARE = 0.2  # of the rarest class, where the folder has no test part
MAX_TESTED = 200  # test images of each class
TOO_SMALL_SHARE = 0.05  # of the images may have a shorter side than the size that is chosen
MIN_TRAINED = 16  # training images of each class
STEPS_OF_AN_EXPERT = 240
NETWORKS = {  # the depth that papers take for a size; half of their width where that takes too long
    64: ("convnet4", "convnet4-w64"),
    32: ("convnet3", "convnet3-w64"),
    16: ("convnet2", "convnet2-w64"),
}


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds that a training step takes per image, in small and in large batches."""

    small: float
    large: float


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """So many seconds of wall-clock time on so many cores."""

    seconds: float
    cores: int


@dataclass(frozen=True)
class Design:
    """The sizes of an experiment. Counts of images are for each class."""

    classes: int
    image_size: int
    network: str
    trained: int
    tested: int
    batch: int
    epochs: int
    experts: int = 4
    inner_steps: int = 20
    trajectory_iterations: int = 100
    distribution_iterations: int = 200
    real_batch: int = 64
    ipc: tuple[int, ...] = (1,)
    sets: int = 2
    networks: int = 3
    evaluation_epochs: int = 300

    @property
    def jobs(self) -> int:
        """Processes that are started: data, experts, sets, their evaluations, metrics and report."""
        return 3 + self.experts + 2 * self.sets * self.cells

    @property
    def cells(self) -> int:
        """Methods at a number of images per class: three at one, random images and DM at more."""
        return 3 + 2 * (len(self.ipc) - 1)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of computing in all, and of the longest chain of jobs that wait for one another."""

    total_seconds: float
    longest_chain_seconds: float

    def seconds_on(self, cores: int) -> float:
        """Seconds of wall-clock time with so many jobs side by side."""
        return max(self.total_seconds / cores, self.longest_chain_seconds)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure_speed(
    network: str, classes: int, channels: int, image_size: int, device: torch.device, seconds: float = MEASURED_SECONDS
) -> Speed:
    """Train a network on noise for so many seconds with each batch, on one numeric thread as jobs do."""
    model = build(network, channels=channels, image_size=image_size, classes=classes)
    draws = Stream.root(0, "speed of this machine").generator()
    theta_P = model.initial_parameters(draws).to(device).requires_grad_()
    noise_NCHW = torch.randn((LARGE_BATCH, channels, image_size, image_size), generator=draws).to(device)
    labels_N = torch.arange(LARGE_BATCH, device=device) % classes

    def seconds_per_image(batch: int) -> float:
        def step() -> None:
            loss = torch.nn.functional.cross_entropy(model(theta_P, noise_NCHW[:batch]), labels_N[:batch])
            torch.autograd.grad(loss, theta_P)[0].sum().item()

        return _seconds_per_call(step, device, seconds) / batch

    return Speed(seconds_per_image(SMALL_BATCH), seconds_per_image(LARGE_BATCH))


def _seconds_per_call(call: Callable[[], None], device: torch.device, seconds: float) -> float:
    """The fastest of several calls; on a CPU in seconds of computing, which other work hardly alters."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    call()
    fastest, began = math.inf, time.perf_counter()
    while fastest == math.inf or time.perf_counter() - began < seconds:
        started = clock()
        call()
        fastest = min(fastest, clock() - started)
    return fastest


def predict(design: Design, speed: Speed) -> Prediction:
    """What a design takes."""
    one = design.classes  # images of a set with one image per class
    expert = design.epochs * design.trained * design.classes * speed.large * AUGMENTED
    trajectory = design.trajectory_iterations * design.inner_steps * one * HYPERGRADIENT * speed.small * AUGMENTED
    real = min(design.real_batch, design.trained) * FORWARD * speed.large
    work, longest = design.experts * expert, trajectory
    for ipc in design.ipc:
        matched = design.distribution_iterations * one * (real + ipc * speed.small) * AUGMENTED
        training = design.evaluation_epochs * one * ipc * AUGMENTED * (speed.small if ipc == 1 else speed.large)
        scored = design.networks * (training + design.tested * design.classes * FORWARD * speed.large)
        methods = 3 if ipc == 1 else 2
        work += design.sets * (matched + methods * scored)
        longest = max(longest, matched + scored)
    work += design.sets * trajectory
    return Prediction(work + JOB_SECONDS * design.jobs, expert + longest + 6 * JOB_SECONDS)


def fits(design: Design, speed: Speed, allowance: TimeBudget) -> bool:
    """Whether a design keeps to the time that there is."""
    return predict(design, speed).seconds_on(allowance.cores) <= allowance.seconds


def image_sizes(survey: Survey) -> list[int]:
    """The sizes that the photographs have the pixels for, the largest first; the smallest if none."""
    fitting = [
        size
        for size in NETWORKS
        if survey.share_below(size) <= TOO_SMALL_SHARE and survey.sides[0] >= image_files.min_source_side(size)
    ]
    return fitting or [min(NETWORKS)]


def split_sizes(survey: Survey) -> tuple[int, int | None]:
    """Training images of each class, and test images of each class (None: the folder's own test part)."""
    _, count = survey.rarest
    if survey.test_counts:
        return count, None
    tested = min(MAX_TESTED, max(1, int(count * TEST_SHARE)))
    return count - tested, tested


def design_for(survey: Survey, size: int, network: str, speed: Speed, allowance: TimeBudget) -> Design:
    """The largest design for images of this size that keeps to the time that there is, or else the smallest."""
    trained, tested = split_sizes(survey)
    classes = len(survey.counts)
    seconds = SHARE_OF_EXPERTS * allowance.seconds * allowance.cores
    affordable = seconds / (Design.experts * speed.large * AUGMENTED * classes)
    epochs_of = {count: _epochs(count * classes) for count in range(min(trained, MIN_TRAINED), trained + 1)}
    kept = max((count for count, epochs in epochs_of.items() if count * epochs <= affordable), default=min(epochs_of))
    smallest = Design(
        classes=classes,
        image_size=size,
        network=network,
        trained=kept,
        tested=tested or max(survey.test_counts.values()),
        batch=_batch(kept * classes),
        epochs=_epochs(kept * classes),
        real_batch=min(Design.real_batch, kept),
        ipc=(1,),
    )
    at_more = replace(smallest, ipc=(1, 10)) if kept >= 2 * 10 else smallest
    larger = [_longer(smallest, 2), *(_longer(at_more, factor) for factor in (1, 2, 5, 10))]
    return next((one for one in reversed(larger) if fits(one, speed, allowance)), smallest)


def _longer(design: Design, factor: int) -> Design:
    return replace(
        design,
        trajectory_iterations=factor * design.trajectory_iterations,
        distribution_iterations=factor * design.distribution_iterations,
    )


def _batch(images: int) -> int:
    return next((batch for batch in (128, 64, 32) if images >= 16 * batch), 16)


def _epochs(images: int) -> int:
    """Epochs of an expert: about as many steps whatever the number of images, within bounds."""
    return min(30, max(4, math.ceil(STEPS_OF_AN_EXPERT * _batch(images) / images)))
