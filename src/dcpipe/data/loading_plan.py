"""What images and networks take of the jobs that load them: for estimates of memory and time."""

from typing import TYPE_CHECKING

from dcpipe.data.data_plan import UNKNOWN_IMAGES, values_per_image
from dcpipe.params.network_name import parse
from dcpipe.params.work import FLOAT_BYTES, NetworkSize, Work

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph

AT_ONCE = 1024  # images that are standardised, or that a network classifies, at a time


def num_train_images(graph: "Graph", dataset: str) -> int:
    """Training images of a dataset, as far as planning knows."""
    config = graph.library.dataset(dataset)[1]
    a_class = config.train_images_per_class
    return UNKNOWN_IMAGES if a_class is None else a_class * config.facts.classes


def num_test_images(graph: "Graph", dataset: str) -> int:
    """Test images of a dataset, as far as planning knows."""
    config = graph.library.dataset(dataset)[1]
    per_class = config.split.test_per_class
    return config.facts.classes * per_class if per_class is not None else config.source.num_test_images or 0


def loading_work(graph: "Graph", dataset: str, *counts: int) -> Work:
    """Parts of so many images, standardised: bytes are read, then floats made of them block by block."""
    config = graph.library.dataset(dataset)[1]
    numbers, largest = values_per_image(config.facts), max(counts, default=0)
    block = min(largest, AT_ONCE) * numbers
    whitened = config.whitening.fit_threads is not None
    held_bytes = FLOAT_BYTES * numbers * sum(counts) + (3 * 8 * numbers**2 if whitened else 0)
    return Work(held_bytes=held_bytes, phases=(numbers * largest + block * (32 if whitened else 12),))


def network_size(graph: "Graph", dataset: str, network: str) -> NetworkSize:
    """The size of a network for the images of a dataset."""
    facts = graph.library.dataset(dataset)[1].facts
    return parse(network).size(channels=facts.channels, image_size=facts.image_size, classes=facts.classes)


def num_validation_images(graph: "Graph", dataset: str) -> int:
    """Validation images of a dataset."""
    config = graph.library.dataset(dataset)[1]
    return config.split.validation_per_class * config.facts.classes


def classifying_work(network: NetworkSize, images: int) -> Work:
    """So many images, classified some at a time."""
    batch = max(1, min(images, AT_ONCE))
    return network.forward_work(batch).times(images / batch)
