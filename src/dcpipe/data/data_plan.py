"""The plan of the data stage: one dataset, split and written as Zarr."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcpipe.errors import DcpipeError, UserError
from dcpipe.params import check
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.values import tracked_values
from dcpipe.params.work import Work
from dcpipe.provenance import artifact, card_fields, staleness
from dcpipe.workflow.stages import DATASET, Payload, Plan, Resources, Stage, register_stage

UNKNOWN_IMAGES = 50_000  # of a source that only reading counts: as many as CIFAR-10 has
SHARD_BYTES = 2**26  # of images that are written at a time

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job


@register_stage
class DataStage(Stage):
    """Reads a source, and nothing that dcpipe made."""

    name = "data"
    label = "data_{dataset}"
    folder = "artifacts/data/{dataset}"
    payloads = (Payload("train", "train.zarr", is_folder=True), Payload("test", "test.zarr", is_folder=True))
    wildcards = (DATASET,)
    implementation = "dcpipe.data.data_stage"
    command = "dcpipe data {dataset}"

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """The source is part of the code identity; each source states how many minutes it takes."""
        resolved, dataset = graph.library.dataset(wildcards["dataset"])
        check.dataset(resolved, dataset)
        return Plan(
            values=[tracked_values(resolved, without=("description", "network", "whitening"))],
            roots=(*dataset.source.implementation, *dataset.standardise.implementation),
            sections={"dataset": dataset},
            resources=Resources(runtime=dataset.facts.minutes),
        )

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """Every image, a byte a value."""
        facts = dataset_facts(graph, job)
        return (facts.smallest_class or 0) * facts.classes * values_per_image(facts)

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """A part of the source at a time, which most sources hold whole, and of it a shard that is written."""
        dataset = graph.library.dataset(job.wildcards["dataset"])[1]
        split, classes = dataset.split, dataset.facts.classes
        kept, cut = split.train_per_class, (split.test_per_class or 0) + split.validation_per_class
        known = dataset.facts.smallest_class or (UNKNOWN_IMAGES // classes if kept is None else kept + cut)
        stored = known * classes * values_per_image(dataset.facts)
        return Work(held_bytes=2 * stored, phases=(3 * min(stored, SHARD_BYTES),))


def dataset_facts(graph: "Graph", job: "Job") -> DatasetFacts:
    """Classes, channels, image size and so on of the dataset of a job."""
    return graph.library.dataset(job.wildcards["dataset"])[1].facts


def values_per_image(facts: DatasetFacts) -> int:
    """Pixel values of one image, over all channels."""
    return facts.channels * facts.image_size**2


def refuse_small_class(graph: "Graph", dataset: str, ipc: int, where: str) -> None:
    """If a dataset is prepared, its card knows the rarest class, also where params do not.

    Raises: UserError if that class has fewer training images than `ipc`.
    """
    job = graph.make_job("data", dataset=dataset)
    try:
        if staleness.params_difference(job, graph.root) is not None:
            return
        rarest = card_fields.facts_of(artifact.read_card(graph.root / job.outputs["train"])).get("rarest_class")
        if rarest is None:
            return
        name, count = rarest["name"].text(), rarest["train_images"].integer()
    except DcpipeError:  # not prepared, or damaged, which whoever reads it says
        return
    if count < ipc:
        problem = f"{ipc} images per class are asked for; class {name} has {count} training images"
        raise UserError(problem, where=f"{where} on {dataset}", remedy=f"ask for at most {count}, or add images")
