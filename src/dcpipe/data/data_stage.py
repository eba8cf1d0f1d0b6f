"""The data stage: from a source's images to the stores that everything else reads.

Layout and digest are looked at first, then labels, then images, a shard in memory at a time.
"""

import logging
import shutil
from pathlib import Path

import numpy as np

from dcpipe.data import split, store
from dcpipe.data.source import FileStamps, Part, Pixels, Rows, Source, digest_of
from dcpipe.errors import UserError
from dcpipe.params.dataset import Dataset
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.random import Stream
from dcpipe.workflow.task import Task

log = logging.getLogger("dcpipe")


def run(task: Task) -> None:
    """Write train.zarr (with val, where asked for) and test.zarr (without images, where none are asked for).

    Raises: UserError if the source is missing, has another layout or digest, is too small for the split, or has a
    channel that cannot be standardised.
    """
    config = task.section("dataset", Dataset)
    facts = config.facts
    source = config.source.open(facts, task.root)
    read = FileStamps.read(path for _, path in source.files() or ())
    task.facts |= _check_digest(task, config, source)
    part = source.part("train" if facts.has_test_part else "all")
    rows = _split_rows(task, config, facts, part)
    _refuse_full_disk(task.draft.folder, facts, sum(map(len, rows.values())))
    standardisation = config.standardise.build(_write(task, facts, part, "train", rows["train"]))
    _refuse_constant_channel(task, standardisation)
    task.facts["rarest_class"] = _rarest(part, facts, rows["train"])
    if len(rows["val"]):
        _write(task, facts, part, "val", rows["val"])
    if facts.has_test_part:
        del part  # the two parts of a source need not fit into memory side by side
        part = source.part("test")
        _refuse_labels(task, facts, part)
        rows["test"] = np.arange(len(part.labels_N))
    if len(rows["test"]):
        _write(task, facts, part, "test", rows["test"])
    for output in ("train", "test"):
        store.write_attributes(task.output(output), classes=facts.classes, standardisation=standardisation)
    read.refuse_changed()
    task.facts |= source.card_facts() | {"images": {name: len(chosen) for name, chosen in rows.items()}}


def _check_digest(task: Task, config: Dataset, source: Source) -> dict[str, object]:
    """The digest of the source's bytes, for the card; compared with the params', or with what was published."""
    files = source.files()
    if files is None:
        return {}
    digest, pinned = digest_of(files), config.source.pinned_digest
    file = next((file for file, values in task.job.params.items() if "source.digest" in values), None)
    if pinned is None:
        source.require_published_data(digest)
        log.info("%s: to pin these bytes, write under source: `digest: %s`", file, digest)
    elif pinned != digest:
        problem = f"the data on this machine has the digest {digest}; params state {pinned}"
        remedy = "use the data with the digest in params, or write the new digest there"
        raise UserError(problem, where=f"{file}: source.digest", remedy=remedy)
    return {"source_digest": digest}


def _split_rows(task: Task, config: Dataset, facts: DatasetFacts, part: Part) -> dict[str, Rows]:
    _refuse_labels(task, facts, part)
    counts = {"val": config.split.validation_per_class, "train": config.split.train_per_class}
    if config.split.test_per_class is not None:
        counts = {"test": config.split.test_per_class, **counts}
    needed = sum(count or 0 for count in counts.values()) + (config.split.train_per_class is None)
    sizes = np.bincount(part.labels_N, minlength=facts.classes)
    rarest = int(sizes.argmin())
    if sizes[rarest] < needed:
        name = part.classes[rarest] if part.classes else str(rarest)
        problem = f"the split needs {needed} images per class; class {name} has {sizes[rarest]}"
        file = next(file for file, values in task.job.params.items() if "split.seed" in values)
        raise UserError(problem, where=f"{file}: split", remedy="lower one of its counts, or add images")
    return split.stratified(part.labels_N, counts, Stream.root(config.split.seed, "split", config.source.kind))


def _refuse_labels(task: Task, facts: DatasetFacts, part: Part) -> None:
    present = np.unique(part.labels_N)
    unknown = np.setdiff1d(present, np.arange(facts.classes))
    missing = np.setdiff1d(np.arange(facts.classes), present)
    remedy = f"use the labels 0 to {facts.classes - 1}, with at least one image for each, or correct source.classes"
    if len(unknown):
        raise UserError(f"some images have the label {unknown[0]}", where=task.job.name, remedy=remedy)
    if len(missing):
        raise UserError(f"no image has the label {missing[0]}", where=task.job.name, remedy=remedy)


def _refuse_constant_channel(task: Task, standardisation: store.Standardisation) -> None:
    """Images are divided by the deviation of each channel. Raises: UserError naming the channels without one."""
    constant = [str(channel + 1) for channel, std in enumerate(standardisation.std_C) if std == 0]
    if constant:
        several = len(constant) > 1
        problem = (
            f"channel{'s' if several else ''} {' and '.join(constant)} of {len(standardisation.std_C)} "
            f"{'have' if several else 'has'} one value in every pixel of all training images, and cannot be divided by "
            "a standard deviation of 0"
        )
        file = next(file for file, values in task.job.params.items() if "standardise.kind" in values)
        remedy = "check the images; write source.channels: 1, or standardise.kind: constants, if this is how they are"
        raise UserError(problem, where=f"{file}: standardise", remedy=remedy)


def _rarest(part: Part, facts: DatasetFacts, rows: Rows) -> dict[str, object]:
    """The class with the fewest training images, for the card: no set can have more images per class than it has."""
    counts = np.bincount(part.labels_N[rows], minlength=facts.classes)
    label = int(counts.argmin())
    return {"name": part.classes[label] if part.classes else str(label), "train_images": int(counts[label])}


def _refuse_full_disk(folder: Path, facts: DatasetFacts, images: int) -> None:
    needed, free = images * facts.channels * facts.image_size**2, shutil.disk_usage(folder).free
    if needed > free:
        problem = f"up to {needed / 1e6:,.1f} MB will be written; {free / 1e6:,.1f} MB are free"
        raise UserError(problem, where=str(folder), remedy="free some disk space")


def _write(task: Task, facts: DatasetFacts, part: Part, name: store.Part, rows: Rows) -> store.Moments:
    """One part into its store; images must have the shape that the params state."""
    shape = (facts.channels, facts.image_size, facts.image_size)

    def read(start: int, stop: int) -> Pixels:
        images = part.read(rows[start:stop])
        if images.shape[1:] != shape:
            shapes = ["x".join(map(str, sizes)) for sizes in (images.shape[1:], shape)]
            raise UserError(f"images are {shapes[0]}; correct the params, which state {shapes[1]}", where=task.job.name)
        return images

    path = task.output("test" if name == "test" else "train")
    return store.write(path, name, part.labels_N[rows], shape, read)
