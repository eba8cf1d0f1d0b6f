"""`dcpipe rehearse`: what an experiment takes on this machine, from a few steps of each kind of job on made-up images.

Each kind runs as it is resolved (network, batch, hypergradient, augmentation, threads, device), for a few steps and for
more of them: the difference is what a step takes, and a whole job is so many steps. What a job does once (loading,
compiling) is counted once, the rest of the real job is linear in its steps: epochs of an expert, iterations of a set,
epochs of an evaluated network. Coresets and the stages of data are left out: they take minutes.
"""

import json
import logging
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dcpipe import costs, device, progress
from dcpipe.data import registry, store
from dcpipe.errors import DcpipeError, UserError
from dcpipe.evaluate.accuracy import accuracy
from dcpipe.execution import execute
from dcpipe.graph import Graph
from dcpipe.job import Job
from dcpipe.made_up import World
from dcpipe.models.build import build
from dcpipe.params.coreset import Coreset, Whole
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation, FixedRate, SearchedRate
from dcpipe.params.experts import Experts, Imported
from dcpipe.params.labels import CorrectExperts, LearnedLabels, OneHot
from dcpipe.params.method import Method
from dcpipe.params.outer import Outer
from dcpipe.random import Stream

STAGES = ("experts", "distill", "evaluate")
FEW = 1  # steps of the shorter run
BATCHES = 2  # of training images that are made up for a network to train on
TESTED = 500  # made-up test images
SHORT_SECONDS = 0.5  # differences below this are taken over ten times as many steps
TEST_IMAGES = {"svhn": 26_032}  # of sources with a test part of their own; ImageNet has 50 a class, the rest 10,000

log = logging.getLogger("dcpipe")


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a real job, and of a rehearsal whose steps are like its own.

    `steps` of the real job, each as long as `share` steps of a rehearsal on `per_class` training images; `tested`
    images in all that the real job classifies.
    """

    steps: int
    per_class: int
    share: float = 1.0
    tested: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """Jobs of an experiment that take the same: one of them, how many there are, and their shape."""

    name: str
    job: Job
    jobs: int
    shape: Shape


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


def kinds(graph: Graph, experiment: str) -> list[Kind]:
    """The kinds of jobs that take long, in the order in which an experiment comes to them.

    Sets of one size are evaluated alike, whatever made them.
    """
    found: dict[tuple[str, Shape], list[Job]] = {}
    for job in graph.jobs(experiment):
        shape = _shape(graph, job)
        if shape:
            kept = [
                f"ipc{word}" if key == "ipc" else word
                for key, word in job.wildcards.items()
                if key not in ({"shard", "set"} if job.stage != "evaluate" else {"set", "method"})
            ]
            found.setdefault((" ".join([job.stage, *kept]), shape), []).append(job)
    return [Kind(name, jobs[0], len(jobs), shape) for (name, shape), jobs in found.items()]


def run(graph: Graph, experiment: str, *, steps: int = 3) -> Iterator[Rehearsed]:
    """Try each kind, by so many steps more than one; a kind that cannot be tried says why."""
    progress.be_quiet()
    for kind in kinds(graph, experiment):
        plain = Rehearsed(kind.name, kind.job.stage, kind.jobs, kind.shape.steps)
        try:
            yield _rehearse(graph, kind, plain, steps)
        except DcpipeError as error:
            yield replace(plain, problem=str(error))


def _rehearse(graph: Graph, kind: Kind, plain: Rehearsed, steps: int) -> Rehearsed:
    shape = kind.shape
    with tempfile.TemporaryDirectory(prefix="dcpipe-rehearsal-") as folder:
        world = World(graph, Path(folder), shape.per_class, TESTED)
        job = world.provide(kind.job)
        _cost(job, world.root, FEW)  # what a process does once: imports, compilation, the device's first call
        once, _ = _cost(job, world.root, FEW)
        for more in (steps, 10 * steps):
            seconds, peak = _cost(job, world.root, FEW + more)
            if seconds - once >= SHORT_SECONDS:
                break
        slope = max(0.0, seconds - once) / more
        testing = shape.tested * _seconds_an_image(job, world.root) if shape.tested else 0.0
    return replace(
        plain,
        seconds_a_step=slope * shape.share,
        seconds_once=max(0.0, once - FEW * slope) + testing,
        peak_bytes=peak,
    )


def _cost(job: Job, root: Path, steps: int) -> tuple[float, int]:
    """Seconds and peak memory of a job cut to so many steps."""
    execute(replace(job, sections={**job.sections, **_cut(job, steps)}), root, keep_state=False)
    noted = costs.read(root / job.costs) or {}
    return float(str(noted["seconds"])), int(str(noted["peak_bytes"]))


def _cut(job: Job, steps: int) -> Mapping[str, object]:
    """The sections that tell how long a job is, made short."""
    if job.stage == "experts":
        return {"experts": replace(_experts(job), shard_experts=1, epochs=steps, kept_epochs="all")}
    if job.stage == "distill":
        method = _method(job)
        assert method.outer is not None  # noqa: S101 (a coreset has no shape)
        return {"method": replace(method, outer=_shorter(method.outer, steps))}
    what = _evaluation(job)
    rate = what.learning_rate
    fixed = FixedRate(kind="fixed", value=rate.values[0]) if isinstance(rate, SearchedRate) else rate
    few = min(what.networks, what.side_by_side)
    return {"evaluation": replace(what, networks=few, epochs=steps, selection="last", learning_rate=fixed)}


def _shorter(outer: Outer, iterations: int) -> Outer:
    """Made-up experts classify nothing correctly: images begin as real ones, and logits as the classes."""
    images, labels = outer.images, outer.labels
    if images.initial == "correct":
        images = replace(images, initial="real")
    if isinstance(labels, LearnedLabels) and isinstance(labels.initial, CorrectExperts):
        labels = replace(labels, initial=OneHot(kind="one-hot", logit=10.0))
    return replace(outer, iterations=iterations, snapshot_every=iterations, images=images, labels=labels)


def _shape(graph: Graph, job: Job) -> Shape | None:
    """None: nothing that takes long."""
    if job.stage not in STAGES:
        return None
    dataset = graph.library.dataset(job.wildcards["dataset"])[1]
    classes, a_class = registry.facts(dataset).classes, _a_class(dataset)
    if job.stage == "experts":
        what = _experts(job)
        few = max(1, math.ceil(BATCHES * what.batch / classes))
        trained = not isinstance(what.origin, Imported)
        return Shape(what.shard_experts * what.epochs, few, a_class / few) if trained else None
    if job.stage == "distill":
        method = _method(job)
        real = min(getattr(method.matching, "real_batch", 1), a_class)
        return Shape(method.outer.iterations, max(int(job.wildcards["ipc"]), real)) if method.outer else None
    return _evaluated(job, _method(graph.maker(job.input("synthetic"))), dataset, a_class)


def _evaluated(job: Job, method: Method, dataset: Dataset, a_class: int) -> Shape:
    what, classes = _evaluation(job), registry.facts(dataset).classes
    is_whole = isinstance(method.matching, Coreset) and isinstance(method.matching.selection, Whole)
    ipc = a_class if is_whole else int(job.wildcards["ipc"])
    few = max(1, min(ipc, math.ceil(BATCHES * what.batch / classes)))
    sets = 1
    if what.selection != "last" and method.outer:
        sets = math.ceil(method.outer.iterations / method.outer.snapshot_every) + 1
    rates = len(what.learning_rate.values) if isinstance(what.learning_rate, SearchedRate) else 1
    rounds = math.ceil(what.networks / min(what.networks, what.side_by_side))
    tested = sets * what.networks * _test_images(dataset)
    return Shape(sets * rates * rounds * (what.epochs + 1), few, ipc / few, tested)


def _a_class(dataset: Dataset) -> int:
    """Training images of the rarest class; 1 where only reading tells."""
    split, rarest = dataset.split, registry.facts(dataset).smallest_class
    left = None if rarest is None else rarest - split.validation_per_class - (split.test_per_class or 0)
    return min([count for count in (split.train_per_class, left) if count is not None], default=1)


def _test_images(dataset: Dataset) -> int:
    facts, kind = registry.facts(dataset), dataset.source.kind
    if dataset.split.test_per_class is not None:
        return facts.classes * dataset.split.test_per_class
    return 50 * facts.classes if kind == "imagenet" else TEST_IMAGES.get(kind, 10_000)


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


def _experts(job: Job) -> Experts:
    what = job.sections["experts"]
    assert isinstance(what, Experts)  # noqa: S101 (the graph put it there)
    return what


def _method(job: Job) -> Method:
    what = job.sections["method"]
    assert isinstance(what, Method)  # noqa: S101 (the graph put it there)
    return what


def _evaluation(job: Job) -> Evaluation:
    what = job.sections["evaluation"]
    assert isinstance(what, Evaluation)  # noqa: S101 (the graph put it there)
    return what


def counts_of(text: str) -> tuple[int, ...]:
    """Numbers of devices, for example ``1,8,64``. Raises: UserError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"{text!r} is no list of numbers above 0", where="--devices", remedy="write for example 1,8,64")
    return tuple(map(int, parts))


def hours_on(found: Sequence[Rehearsed], devices: int) -> float:
    """Hours at least on so many devices, stage after stage, a job on one device."""
    total = 0.0
    for stage in STAGES:
        rows = [one for one in found if one.stage == stage]
        work = sum(one.jobs * one.seconds_a_job for one in rows)
        total += max([work / devices, *(one.seconds_a_job for one in rows)])
    return total / 3600


def lines(found: Sequence[Rehearsed], disk_bytes: int, devices: Sequence[int]) -> list[str]:
    """A table for a terminal."""
    width = max([len(one.kind) for one in found] + [4])
    head = f"{'kind':<{width}}{'jobs':>6}{'steps':>8}{'s a step':>11}{'hours':>10}{'peak MB':>9}"
    body = [
        f"{one.kind:<{width}}{one.jobs:>6}{one.steps:>8}"
        + (
            f"  not tried: {one.problem}"
            if one.problem
            else f"{one.seconds_a_step:>11.4g}{one.jobs * one.seconds_a_job / 3600:>10.4g}{one.peak_bytes / 1e6:>9.0f}"
        )
        for one in found
    ]
    words = ", ".join(f"{hours_on(found, count):.4g} h on {count}" for count in devices)
    rest = [f"{sum(one.jobs for one in found)} jobs, at least {words}; {disk_bytes / 1e9:.4g} GB of artifacts at most"]
    missing = [one.kind for one in found if one.problem]
    rest += [f"without {', '.join(missing)}"] if missing else []
    return [head, *body, *rest]


def as_json(found: Sequence[Rehearsed], disk_bytes: int, devices: Sequence[int]) -> str:
    """The same for programs."""
    hours = {str(count): round(hours_on(found, count), 4) for count in devices}
    return json.dumps({"hours": hours, "disk_bytes": disk_bytes, "kinds": [asdict(one) for one in found]}, indent=1)
