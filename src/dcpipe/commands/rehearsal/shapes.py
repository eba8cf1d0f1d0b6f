"""How long a job is, and how to make it short without changing what one of its steps is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dcpipe.data import registry
from dcpipe.errors import UserError
from dcpipe.params.coreset import Coreset, Whole
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation, FixedRate, SearchedRate
from dcpipe.params.experts import Experts, Imported
from dcpipe.params.labels import CorrectExperts, LearnedLabels, OneHot
from dcpipe.params.method import Method
from dcpipe.params.outer import FirstOrderStepSize, LearnedStepSize, Outer
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

STILL = 1e-30  # a learning rate that moves nothing
BATCHES = 2  # of training images that are made up for a network to train on
TEST_IMAGES = {"svhn": 26_032}  # of sources with a test part of their own; ImageNet has 50 a class, the rest 10,000


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


def kinds(graph: Graph, experiment: str) -> list[Kind]:
    """The kinds of jobs that take long, in the order in which an experiment comes to them.

    Sets of one size are evaluated alike, whatever made them.
    """
    found: dict[tuple[str, Shape], list[Job]] = {}
    for job in graph.jobs(experiment):
        shape = _shape(graph, job)
        if shape:
            found.setdefault((_name(graph, job), shape), []).append(job)
    return [Kind(name, jobs[0], len(jobs), shape) for (name, shape), jobs in found.items()]


def _name(graph: Graph, job: Job) -> str:
    words = {key: word for key, word in job.wildcards.items() if key not in {"shard", "set"}}
    if "ipc" in words:
        words["ipc"] = f"ipc{words['ipc']}"
    if job.stage == "evaluate":
        del words["method"]
        words["ipc"] = "all-images" if _is_whole(_maker(graph, job)) else words["ipc"]
    return " ".join([job.stage, *words.values()])


def cut(job: Job, steps: int) -> Mapping[str, object]:
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
    """Made-up experts classify nothing correctly: images begin as real ones, and logits as the classes.

    Nor do they teach a step size, which stays where it is, so that no guard stops what would diverge.
    """
    images, labels, step_size = replace(outer.images, learning_rate=STILL), outer.labels, outer.step_size
    if isinstance(step_size, LearnedStepSize | FirstOrderStepSize):
        step_size = replace(step_size, learning_rate=STILL)
    if images.initial == "correct":
        images = replace(images, initial="real")
    if isinstance(labels, LearnedLabels) and isinstance(labels.initial, CorrectExperts):
        labels = replace(labels, initial=OneHot(kind="one-hot", logit=10.0))
    return replace(
        outer, iterations=iterations, snapshot_every=iterations, images=images, labels=labels, step_size=step_size
    )


def _shape(graph: Graph, job: Job) -> Shape | None:
    """None: nothing that takes long."""
    if "dataset" not in job.wildcards:
        return None
    dataset = graph.library.dataset(job.wildcards["dataset"])[1]
    classes = registry.facts(dataset).classes
    match job.stage:
        case "experts":
            what = _experts(job)
            few = max(1, math.ceil(BATCHES * what.batch / classes))
            trained = not isinstance(what.origin, Imported)
            return Shape(what.shard_experts * what.epochs, few, _a_class(job, dataset) / few) if trained else None
        case "distill":
            method = _method(job)
            real = min(getattr(method.matching, "real_batch", 1), _known_a_class(dataset) or math.inf)
            return Shape(method.outer.iterations, max(int(job.wildcards["ipc"]), int(real))) if method.outer else None
        case "evaluate":
            return _evaluated(job, _maker(graph, job), dataset)
    return None


def _evaluated(job: Job, method: Method, dataset: Dataset) -> Shape:
    what, classes = _evaluation(job), registry.facts(dataset).classes
    ipc = _a_class(job, dataset) if _is_whole(method) else int(job.wildcards["ipc"])
    few = max(1, min(ipc, math.ceil(BATCHES * what.batch / classes)))
    sets = 1
    if what.selection != "last" and method.outer:
        sets = math.ceil(method.outer.iterations / method.outer.snapshot_every) + 1
    rates = len(what.learning_rate.values) if isinstance(what.learning_rate, SearchedRate) else 1
    rounds = math.ceil(what.networks / min(what.networks, what.side_by_side))
    tested = sets * what.networks * _test_images(dataset)
    return Shape(sets * rates * rounds * (what.epochs + 1), few, ipc / few, tested)


def _maker(graph: Graph, job: Job) -> Method:
    """What made the set that a job scores."""
    return _method(graph.maker(job.input("synthetic")))


def _is_whole(method: Method) -> bool:
    return isinstance(method.matching, Coreset) and isinstance(method.matching.selection, Whole)


def _a_class(job: Job, dataset: Dataset) -> int:
    """Training images of the rarest class. Raises: UserError where only reading tells."""
    known = _known_a_class(dataset)
    if known is None:
        where = f"params/datasets/{job.wildcards['dataset']}.yaml: split.train_per_class"
        remedy = "write a variant that says how many"
        raise UserError("how many images a class has is known only from its files", where=where, remedy=remedy)
    return known


def _known_a_class(dataset: Dataset) -> int | None:
    split, rarest = dataset.split, registry.facts(dataset).smallest_class
    left = None if rarest is None else rarest - split.validation_per_class - (split.test_per_class or 0)
    return min((count for count in (split.train_per_class, left) if count is not None), default=None)


def _test_images(dataset: Dataset) -> int:
    facts, kind = registry.facts(dataset), dataset.source.kind
    if dataset.split.test_per_class is not None:
        return facts.classes * dataset.split.test_per_class
    return 50 * facts.classes if kind == "imagenet" else TEST_IMAGES.get(kind, 10_000)


def _experts(job: Job) -> Experts:
    return job.section("experts", Experts)


def _method(job: Job) -> Method:
    return job.section("method", Method)


def _evaluation(job: Job) -> Evaluation:
    return job.section("evaluation", Evaluation)
