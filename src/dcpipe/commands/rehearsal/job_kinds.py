"""How long a job is, and how to make it short without changing what one of its steps is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dcpipe.errors import UserError
from dcpipe.params.axis import rehearsal_section
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

BATCHES = 2  # of noise training images for a network to train on


@dataclass(frozen=True, slots=True)
class JobSize:
    """The size of a real job, and of a rehearsal whose steps are like its own.

    `steps` of the real job, each as long as `share` steps of a rehearsal on `per_class` training images; `tested`
    images in all that the real job classifies.
    """

    steps: int
    per_class: int
    share: float = 1.0
    tested: int = 0


@dataclass(frozen=True, slots=True)
class JobKind:
    """Jobs of an experiment that take the same: one of them, how many there are, and their size."""

    name: str
    job: Job
    jobs: int
    size: JobSize


def find_job_kinds(graph: Graph, experiment: str) -> list[JobKind]:
    """The kinds of jobs that take long, in the order in which an experiment comes to them.

    Sets of one size are evaluated and applied alike, whatever made them; so are the parts of an application.
    """
    members: dict[tuple[str, JobSize], list[Job]] = {}
    for job in graph.experiment_jobs(experiment):
        size = _job_size(graph, job)
        if size:
            members.setdefault((_name(graph, job), size), []).append(job)
    return [JobKind(name, jobs[0], len(jobs), size) for (name, size), jobs in members.items()]


def _name(graph: Graph, job: Job) -> str:
    wildcards = {key: value for key, value in job.wildcards.items() if key not in {"shard", "set", "part"}}
    if "ipc" in wildcards:
        wildcards["ipc"] = f"ipc{wildcards['ipc']}"
    if job.stage in {"evaluate", "apply"}:
        del wildcards["method"]
        wildcards["ipc"] = "all-images" if _source_method(graph, job).matching.takes_whole_dataset else wildcards["ipc"]
    return " ".join([job.stage, *wildcards.values()])


def shortened_sections(job: Job, steps: int) -> Mapping[str, object]:
    """The sections that set the length of a job, changed to a short one."""
    if job.stage == "experts":
        return {"experts": replace(_experts_section(job), shard_experts=1, epochs=steps, kept_epochs="all")}
    if job.stage == "distill":
        method = method_of(job)
        outer = method.outer
        shorter = replace(rehearsal_section(outer), iterations=steps, snapshot_every=steps) if outer else None
        return {"method": replace(method, outer=shorter)}
    config = rehearsal_section(_evaluation(job))
    few = min(config.networks, config.side_by_side)
    return {"evaluation": replace(config, networks=few, epochs=steps)}


def _job_size(graph: Graph, job: Job) -> JobSize | None:
    """None: the job takes little time."""
    if "dataset" not in job.wildcards:
        return None
    dataset = graph.library.dataset(job.wildcards["dataset"])[1]
    classes = dataset.facts.classes
    match job.stage:
        case "experts":
            config = _experts_section(job)
            few = max(1, math.ceil(BATCHES * config.batch / classes))
            trained = not config.origin.is_foreign
            return (
                JobSize(config.shard_experts * config.epochs, few, _images_per_class(job, dataset) / few)
                if trained
                else None
            )
        case "distill":
            method = method_of(job)
            real = min(method.matching.real_images_per_class, dataset.train_images_per_class or math.inf)
            return JobSize(method.outer.iterations, max(int(job.wildcards["ipc"]), int(real))) if method.outer else None
        case "evaluate":
            return _evaluation_size(job, _source_method(graph, job), dataset)
        case "apply":  # all networks of a part for an epoch are a step; testing them counts as loading does
            return replace(_evaluation_size(job, _source_method(graph, job), dataset), tested=0)
    return None


def _evaluation_size(job: Job, method: Method, dataset: Dataset) -> JobSize:
    config, classes = _evaluation(job), dataset.facts.classes
    ipc = _images_per_class(job, dataset) if method.matching.takes_whole_dataset else int(job.wildcards["ipc"])
    few = max(1, min(ipc, math.ceil(BATCHES * config.batch / classes)))
    sets = 1
    if config.selection.reads_snapshots and method.outer:
        sets = math.ceil(method.outer.iterations / method.outer.snapshot_every) + 1
    rates = config.learning_rate.num_candidates
    rounds = math.ceil(config.networks / min(config.networks, config.side_by_side))
    tested = sets * config.networks * _test_images(dataset)
    return JobSize(sets * rates * rounds * (config.epochs + 1), few, ipc / few, tested)


def _source_method(graph: Graph, job: Job) -> Method:
    """The method that made the set that a job evaluates."""
    return method_of(graph.job_that_makes(job.input("synthetic")))


def _images_per_class(job: Job, dataset: Dataset) -> int:
    """Training images of the rarest class. Raises: UserError if only reading the files shows it."""
    known = dataset.train_images_per_class
    if known is None:
        where = f"params/datasets/{job.wildcards['dataset']}.yaml: split.train_per_class"
        remedy = "state it in the dataset, or in a variant of it"
        raise UserError(
            "the number of images per class is known only after reading the files", where=where, remedy=remedy
        )
    return known


def _test_images(dataset: Dataset) -> int:
    per_class, own = dataset.split.test_per_class, dataset.source.num_test_images
    return dataset.facts.classes * per_class if per_class is not None else own or 0


def _experts_section(job: Job) -> Experts:
    return job.section("experts", Experts)


def method_of(job: Job) -> Method:
    return job.section("method", Method)


def _evaluation(job: Job) -> Evaluation:
    return job.section("evaluation", Evaluation)
