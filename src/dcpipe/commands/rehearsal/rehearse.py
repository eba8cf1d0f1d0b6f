"""`dcpipe rehearse`: what an experiment takes on this machine, from a few steps of each kind of job on noise images.

Each kind runs as it is resolved (network, batch, hypergradient, augmentation, threads, device), for a few steps and for
more of them: the difference is what a step takes, and a whole job is so many steps. What a job does once (loading,
compiling) is counted once, the rest of the real job is linear in its steps: epochs of an expert, iterations of a set,
epochs of an evaluated network. An iteration of trajectory matching is linear in its inner steps in turn: long inner
loops are extrapolated from shorter ones. Coresets and the stages of data are left out: they take
minutes.

On a CPU a step's seconds are those of the process's CPU time where that is less than the wall time, so that other work
on the machine does not count; an accelerator's are wall time.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread

import torch

from dcpipe import device, progress
from dcpipe.commands.rehearsal.inner_steps import inner_step_counts, with_inner_steps
from dcpipe.commands.rehearsal.job_kinds import JobKind, shortened_sections
from dcpipe.commands.rehearsal.noise_inputs import NoiseInputs
from dcpipe.data import store
from dcpipe.errors import DcpipeError
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.models.build import build
from dcpipe.random import Stream
from dcpipe.workflow import costs
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

FEW_STEPS = 1  # steps of the shorter run
SHORT_SECONDS = 0.5  # differences below this are taken over ten times as many steps
SOON_SECONDS = 2.0  # an iteration that takes less is tried with all its inner steps
TESTED = 500  # noise test images


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """The cost of a kind of job: `seconds_per_step` for each of its `steps`, and `seconds_once` in addition.

    `wall_seconds` and `cpu_seconds` are what trying it took.
    """

    kind: str
    stage: str
    jobs: int
    steps: int
    seconds_per_step: float = 0.0
    seconds_once: float = 0.0
    peak_bytes: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    problem: str | None = None  # why it could not be tried

    @property
    def seconds_per_job(self) -> float:
        """One whole job."""
        return self.seconds_once + self.steps * self.seconds_per_step


EXIT_SECONDS = 10.0  # seconds for a child that has answered

Attempt = Callable[[Graph, JobKind, int, Path], RehearsalResult]


def rehearse_kinds(
    graph: Graph, kinds: Iterable[JobKind], *, steps: int = 3, in_child: bool = True
) -> Iterator[RehearsalResult]:
    """Try each kind, by so many steps more than one; a kind that cannot be tried says why.

    `in_child`: in a process of its own, so that its memory is measured alone; if it is killed, the others go on.
    """
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="dcpipe-rehearsal-") as folder:
            yield (_rehearse_in_child if in_child else _rehearse_or_explain)(graph, kind, steps, Path(folder))


def _rehearse_in_child(graph: Graph, kind: JobKind, steps: int, folder: Path) -> RehearsalResult:
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_rehearse_and_send, args=(sender, _rehearse_or_explain, graph, kind, steps, folder))
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the child: only this process ends it
    child.start()
    signal.signal(signal.SIGINT, handler)
    sender.close()
    try:
        answer: RehearsalResult | Exception = receiver.recv()
        child.join(EXIT_SECONDS)  # it exits by itself and releases its resources
    except EOFError:
        return replace(_empty_result(kind), problem="the system killed its process; there may be too little memory")
    finally:
        child.kill()
        child.join()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _rehearse_and_send(
    sender: Connection, tried: Attempt, graph: Graph, kind: JobKind, steps: int, folder: Path
) -> None:
    """A child's work: send the result or the error; clean up and exit when the parent process is gone."""
    parent = parent_process()
    if parent is None:
        raise RuntimeError("only a child process may run this")
    sentinel = parent.sentinel

    def remove_folder_after_parent() -> None:
        wait([sentinel])
        remover = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
        # it replaces this process, so that nothing writes there any more
        os.execv(sys.executable, [sys.executable, "-c", remover, str(folder)])  # noqa: S606 (its own interpreter)

    Thread(target=remove_folder_after_parent, daemon=True).start()
    try:
        sender.send(tried(graph, kind, steps, folder))
    except Exception as error:
        sender.send(error)


def _empty_result(kind: JobKind) -> RehearsalResult:
    return RehearsalResult(kind.name, kind.job.stage, kind.jobs, kind.size.steps)


def _rehearse_or_explain(graph: Graph, kind: JobKind, steps: int, folder: Path) -> RehearsalResult:
    progress.be_quiet()
    try:
        return _rehearse(graph, kind, steps, folder)
    except (DcpipeError, MemoryError, torch.OutOfMemoryError) as error:
        return replace(_empty_result(kind), problem=str(error).partition("\n")[0] or "too little memory")


def _rehearse(graph: Graph, kind: JobKind, steps: int, folder: Path) -> RehearsalResult:
    size, noise = kind.size, NoiseInputs(graph, folder, kind.size.per_class, TESTED)
    job = noise.provide(kind.job)
    wall, cpu = time.monotonic(), time.process_time()
    whole = _full_length_cost(job, noise.root, steps)
    testing = size.tested * _measure_seconds_per_image(job, noise.root) if size.tested else 0.0
    return replace(
        _empty_result(kind),
        seconds_per_step=whole.step * size.share,
        seconds_once=whole.once + testing,
        peak_bytes=int(whole.peak),
        wall_seconds=time.monotonic() - wall,
        cpu_seconds=time.process_time() - cpu,
    )


@dataclass(frozen=True, slots=True)
class _LinearCost:
    """What a job takes: seconds once and a step, and peak bytes."""

    once: float
    step: float
    peak: float


def _linear_cost(job: Job, root: Path, steps: int) -> _LinearCost:
    _measured_cost(job, root, FEW_STEPS)  # what a process does once: imports, compilation, the device's first call
    least, _ = _measured_cost(job, root, FEW_STEPS)
    for more in (steps, 10 * steps):
        seconds, peak = _measured_cost(job, root, FEW_STEPS + more)
        if seconds - least >= SHORT_SECONDS:
            break
    step = max(0.0, seconds - least) / more
    return _LinearCost(max(0.0, least - FEW_STEPS * step), step, peak)


def _full_length_cost(job: Job, root: Path, steps: int) -> _LinearCost:
    """The line of a job with all its inner steps: from a few and twice as many, unless all are soon done."""
    lengths = inner_step_counts(job)
    few = _linear_cost(with_inner_steps(job, lengths.few), root, steps)
    if lengths.few == lengths.all:
        return few
    if few.step * lengths.all / lengths.few < SOON_SECONDS:
        return _linear_cost(job, root, steps)
    more = _linear_cost(with_inner_steps(job, lengths.more), root, steps)
    beyond = (lengths.all - lengths.few) / (lengths.more - lengths.few)
    step = few.step + beyond * (more.step - few.step)
    return _LinearCost(few.once, max(more.step, step), few.peak + beyond * max(0.0, more.peak - few.peak))


def _measured_cost(job: Job, root: Path, steps: int) -> tuple[float, int]:
    """Seconds and peak memory of a job cut to so many steps."""
    cpu = time.process_time()
    execute_job(replace(job, sections={**job.sections, **shortened_sections(job, steps)}), root, keep_state=False)
    cpu = time.process_time() - cpu
    noted = costs.read_costs(root / job.costs_path) or {}
    wall = float(str(noted["seconds"]))
    return min(wall, cpu) if noted["device"] == "cpu" else wall, int(str(noted["peak_bytes"]))


def _measure_seconds_per_image(job: Job, root: Path) -> float:
    """Of a forward pass of a score's network: the second call's, for the first is slower."""
    images = store.load(root / job.input("test"), "test", device.choose())
    network = job.section("network", str)
    model = build(network, channels=images.channels, image_size=images.size, classes=images.classes)
    theta = model.initial_parameters(Stream.root(0, "rehearsal").generator()).to(images.images_NCHW.device)
    seconds, clock = 0.0, time.process_time if theta.is_cpu else time.monotonic
    for _ in range(2):
        started = clock()
        accuracy(model, theta, images, None)
        seconds = clock() - started
    return seconds / len(images.labels_N)
