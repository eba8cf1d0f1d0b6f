"""The whiten stage: a whitening fitted on the training images, an artifact of its own that travels with every set."""

import logging

from dcpipe.data import store, whitening
from dcpipe.params.dataset import Dataset
from dcpipe.workflow.task import Task

log = logging.getLogger("dcpipe")


def run(task: Task) -> None:
    """Fit on train alone and write whitening.zarr."""
    fit = task.section("dataset", Dataset).whitening.build()
    stored = store.load_pixels(task.input("train"), "train").pixels_NCHW.flatten(1)
    log.info("fitting the whitening to %d images of %d values; the next line comes when it is done", *stored.shape)
    whitening.save(task.output("whitening"), fit(stored))
    task.facts |= {"fitted_on": len(stored), "pixels": stored.shape[1]}
