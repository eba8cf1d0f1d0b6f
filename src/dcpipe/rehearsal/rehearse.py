"""`dcpipe rehearse`: what an experiment takes on this machine, from a few steps of each kind of job on made-up images.

Each kind runs as it is resolved (network, batch, hypergradient, augmentation, threads, device), for a few steps and for
more of them: the difference is what a step takes, and a whole job is so many steps. What a job does once (loading,
compiling) is counted once, the rest of the real job is linear in its steps: epochs of an expert, iterations of a set,
epochs of an evaluated network. An iteration of trajectory matching is linear in its inner steps in turn: where they are
many it is tried with a few and with twice as many. Coresets and the stages of data are left out: they take minutes.
"""

import os
import tempfile
import time
from _thread import interrupt_main
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

from dcpipe import costs, device, progress
from dcpipe.data import store
from dcpipe.errors import DcpipeError
from dcpipe.evaluate.accuracy import accuracy
from dcpipe.execution import execute
from dcpipe.graph import Graph
from dcpipe.job import Job
from dcpipe.models.build import build
from dcpipe.random import Stream
from dcpipe.rehearsal.inner_steps import InnerLengths, inner_lengths, with_inner
from dcpipe.rehearsal.made_up import World
from dcpipe.rehearsal.shapes import Kind, cut

FEW = 1  # steps of the shorter run
SHORT_SECONDS = 0.5  # differences below this are taken over ten times as many steps
TESTED = 500  # made-up test images
CLEANING_SECONDS = 10.0  # for a process whose parent is gone to remove what it made up


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a kind took. `seconds_a_step` is one of `steps`; `seconds_once` what a job takes besides."""

    kind: str
    stage: str
    jobs: int
    steps: int
    seconds_a_step: float = 0.0
    seconds_once: float = 0.0
    peak_bytes: int = 0
    problem: str | None = None  # why it could not be tried

    @property
    def seconds_a_job(self) -> float:
        """One whole job."""
        return self.seconds_once + self.steps * self.seconds_a_step


def run(graph: Graph, kinds: Iterable[Kind], *, steps: int = 3, apart: bool = True) -> Iterator[Rehearsed]:
    """Try each kind, by so many steps more than one; a kind that cannot be tried says why.

    `apart`: in a process of its own, so that its memory is its own, and one that the system ends ends no other.
    """
    for kind in kinds:
        yield _apart(graph, kind, steps) if apart else _tried(graph, kind, steps)


def _apart(graph: Graph, kind: Kind, steps: int) -> Rehearsed:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent)
    with pool:
        try:
            return pool.submit(_tried, graph, kind, steps).result()
        except BrokenProcessPool:
            return replace(_plain(kind), problem="the system ended its process; it may have had too little memory")


def _end_with_parent() -> None:
    """Clean up and leave when the process that asked is gone, however it went."""
    parent = parent_process()
    assert parent is not None  # noqa: S101 (only a child runs this)

    def watch() -> None:
        wait([parent.sentinel])
        interrupt_main()
        time.sleep(CLEANING_SECONDS)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _plain(kind: Kind) -> Rehearsed:
    return Rehearsed(kind.name, kind.job.stage, kind.jobs, kind.shape.steps)


def _tried(graph: Graph, kind: Kind, steps: int) -> Rehearsed:
    progress.be_quiet()
    try:
        return _rehearse(graph, kind, _plain(kind), steps)
    except DcpipeError as error:
        return replace(_plain(kind), problem=str(error))


def _rehearse(graph: Graph, kind: Kind, plain: Rehearsed, steps: int) -> Rehearsed:
    shape = kind.shape
    with tempfile.TemporaryDirectory(prefix="dcpipe-rehearsal-") as folder:
        world = World(graph, Path(folder), shape.per_class, TESTED)
        job = world.provide(kind.job)
        lengths = inner_lengths(job)
        found = _line(with_inner(job, lengths.few), world.root, steps)
        if lengths.more > lengths.few:
            found = _longer(found, with_inner(job, lengths.more), world.root, steps, lengths)
        testing = shape.tested * _seconds_an_image(job, world.root) if shape.tested else 0.0
    return replace(
        plain,
        seconds_a_step=found.step * shape.share,
        seconds_once=found.once + testing,
        peak_bytes=int(found.peak),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """What a job takes: seconds once and a step, and peak bytes."""

    once: float
    step: float
    peak: float


def _line(job: Job, root: Path, steps: int) -> _Line:
    _cost(job, root, FEW)  # what a process does once: imports, compilation, the device's first call
    least, _ = _cost(job, root, FEW)
    for more in (steps, 10 * steps):
        seconds, peak = _cost(job, root, FEW + more)
        if seconds - least >= SHORT_SECONDS:
            break
    step = max(0.0, seconds - least) / more
    return _Line(max(0.0, least - FEW * step), step, peak)


def _longer(few: _Line, longer: Job, root: Path, steps: int, lengths: InnerLengths) -> _Line:
    """The line of a job of all inner steps, from that of a few and from the same job with more of them."""
    seconds, peak = _cost(longer, root, FEW + steps)
    step = max(few.step, (seconds - few.once) / (FEW + steps))
    beyond = (lengths.all - lengths.few) / (lengths.more - lengths.few)
    return _Line(few.once, few.step + beyond * (step - few.step), few.peak + beyond * max(0.0, peak - few.peak))


def _cost(job: Job, root: Path, steps: int) -> tuple[float, int]:
    """Seconds and peak memory of a job cut to so many steps."""
    execute(replace(job, sections={**job.sections, **cut(job, steps)}), root, keep_state=False)
    noted = costs.read(root / job.costs) or {}
    return float(str(noted["seconds"])), int(str(noted["peak_bytes"]))


def _seconds_an_image(job: Job, root: Path) -> float:
    """Of a forward pass of a score's network: the second call's, for the first is slower."""
    images = store.load(root / job.input("test"), "test", device.choose())
    network = str(job.sections["network"])
    model = build(network, channels=images.channels, image_size=images.size, classes=images.classes)
    theta = model.initial(Stream.root(0, "rehearsal").generator()).to(images.images_NCHW.device)
    seconds = 0.0
    for _ in range(2):
        started = time.monotonic()
        accuracy(model, theta, images, None)
        seconds = time.monotonic() - started
    return seconds / len(images.labels_N)
