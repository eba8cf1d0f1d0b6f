"""The plan of the whiten stage: the ZCA whitening of a dataset that has one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcpipe.data.data_plan import UNKNOWN_IMAGES, dataset_facts, values_per_image
from dcpipe.errors import UserError
from dcpipe.params.dataset import Dataset
from dcpipe.params.values import tracked_values
from dcpipe.params.work import Work
from dcpipe.workflow.stages import DATASET, Payload, Plan, Resources, Stage, register_stage

SMALL_IMAGE = 1024  # numbers; images above are looked at in chunks (see dcpipe.data.whitening)
CHUNK_ROWS = 4096
DECOMPOSED = 25  # operations of the eigendecomposition and products, by the cube of their size

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph
    from dcpipe.workflow.job import Job


@register_stage
class WhitenStage(Stage):
    """Reads the training images."""

    name = "whiten"
    label = "whiten_{dataset}"
    folder = "artifacts/whitening/{dataset}"
    payloads = (Payload("whitening", "whitening.zarr", is_folder=True),)
    wildcards = (DATASET,)
    implementation = "dcpipe.data.whiten_stage"
    command = "dcpipe whiten {dataset}"
    reads = ("data",)
    numeric = True

    def plan(self, graph: "Graph", wildcards: Mapping[str, str]) -> Plan:
        """Raises: UserError if the dataset is not whitened."""
        resolved, dataset = graph.library.dataset(wildcards["dataset"])
        threads = dataset.whitening.fit_threads
        if threads is None:
            remedy = "choose a dataset with whitening.kind: zca"
            raise UserError("this dataset has no whitening", where=f"{resolved.file}: whitening.kind", remedy=remedy)
        return Plan(
            inputs={"train": (graph.make_job("data", dataset=wildcards["dataset"]).outputs["train"],)},
            values=[tracked_values(resolved, only=("whitening",))],
            roots=dataset.whitening.implementation,
            sections={"dataset": dataset},
            resources=Resources(threads, runtime=120),
        )

    def disk_bytes(self, graph: "Graph", job: "Job") -> int:
        """A matrix and its inverse in float64."""
        return 2 * 8 * values_per_image(dataset_facts(graph, job)) ** 2

    def estimate_work(self, graph: "Graph", job: "Job") -> Work:
        """The images; then, in float64, a copy of those that are looked at and the matrices of the decomposition."""
        facts, a_class = dataset_facts(graph, job), job.section("dataset", Dataset).train_images_per_class
        numbers, images = values_per_image(facts), UNKNOWN_IMAGES if a_class is None else a_class * facts.classes
        copies = 3 * 8 * numbers * (images if numbers <= SMALL_IMAGE else min(images, CHUNK_ROWS))
        return Work(
            held_bytes=numbers * images, phases=(copies + 9 * 8 * numbers**2,), operations=DECOMPOSED * numbers**3
        )


def image_inputs(graph: "Graph", dataset: str) -> dict[str, tuple[str, ...]]:
    """The inputs of a job that reads images: the training store, and the whitening where the dataset has one."""
    inputs: dict[str, tuple[str, ...]] = {"train": (graph.make_job("data", dataset=dataset).outputs["train"],)}
    if graph.library.dataset(dataset)[1].whitening.fit_threads is not None:
        inputs["whitening"] = (graph.make_job("whiten", dataset=dataset).outputs["whitening"],)
    return inputs
