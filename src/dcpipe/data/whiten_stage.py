"""The whiten stage: ZCA fitted on the training images, an artifact of its own that travels with every set."""

from collections.abc import Iterator

import torch
from torch import Tensor

from dcpipe.data import store, whitening
from dcpipe.params.dataset import Zca
from dcpipe.workflow.task import Task

KORNIA_PIXELS = 1024  # above, its singular value decomposition takes minutes; the eigendecomposition is equal
CHUNK_ROWS = 4096


def run(task: Task) -> None:
    """Fit on train alone and write whitening.zarr."""
    what = task.section("whitening", Zca)
    pixels = store.load_pixels(task.input("train"), "train").pixels_NCHW.flatten(1)

    def chunks() -> Iterator[Tensor]:
        for rows in torch.split(pixels, CHUNK_ROWS):
            yield rows.double() / 255.0

    if pixels.shape[1] <= KORNIA_PIXELS:
        fitted = whitening.fit(pixels.double() / 255.0, eps=what.eps)
    else:
        fitted = whitening.fit_by_eigh(chunks(), eps=what.eps)
    whitening.save(task.output("whitening"), fitted)
    task.facts |= {"fitted_on": len(pixels), "pixels": pixels.shape[1]}
