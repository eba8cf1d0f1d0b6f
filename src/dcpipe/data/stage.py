"""The data stage: from a source's images to the stores that everything else reads."""

from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from dcpipe.data import split, store
from dcpipe.data.registry import FACTS, SOURCES
from dcpipe.params.dataset import Constants, Dataset
from dcpipe.random import Stream
from dcpipe.task import Task


def run(task: Task) -> None:
    """Write train.zarr (with val, where asked for) and test.zarr."""
    what = task.section("dataset", Dataset)
    images, labels = import_module(SOURCES[what.source.kind]).load()
    counts = {
        "test": what.split.test_per_class,
        "val": what.split.validation_per_class,
        "train": what.split.train_per_class,
    }
    parts = split.stratified(labels, counts, Stream.root(what.split.seed, "split", what.source.kind))
    standardisation = _standardisation(what, images[parts["train"]])
    classes = FACTS[what.source.kind].classes
    for name, members in (("train", ["train", "val"]), ("test", ["test"])):
        path = task.output(name)
        store.create(path, classes=classes, standardisation=standardisation)
        for member in members:
            if len(parts[member]):
                store.write(path, member, images[parts[member]], labels[parts[member]])
    task.facts["images"] = {name: len(rows) for name, rows in parts.items()}


def _standardisation(what: Dataset, train: NDArray[np.uint8]) -> store.Standardisation:
    if isinstance(what.standardise, Constants):
        return store.Standardisation(tuple(what.standardise.mean), tuple(what.standardise.std))
    return store.measure(train)
