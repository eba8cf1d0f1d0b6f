"""A dataset's test images as plain arrays, for scripts that train without dcpipe. Nothing is measured on them here."""

import io
from pathlib import Path

import numpy as np

from dcpipe.data import store
from dcpipe.errors import UserError
from dcpipe.provenance import artifact
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.graph import Graph


def export_test_images(graph: Graph, dataset: str, to: Path) -> int:
    """Write `images` (uint8, N x C x H x W) and `labels` (int64, N) as .npz; returns N.

    Raises: UserError if the dataset is not prepared, or the file exists or has another ending.
    """
    if to.suffix != ".npz":
        raise UserError("test images are written as .npz", where=str(to), remedy="choose a name that ends in .npz")
    if to.exists():
        raise UserError("exists already", where=str(to), remedy="choose another name, or remove it")
    test = artifact.verify_payload(graph.root / graph.make_job("data", dataset=dataset).outputs["test"])
    pixels = store.load_pixels(test, "test")
    content = io.BytesIO()
    np.savez(content, images=pixels.pixels_NCHW.numpy(), labels=pixels.labels_N.numpy())
    try:
        write_atomically(to, content.getvalue())
    except OSError as error:
        raise UserError(
            f"cannot be written ({error.strerror})", where=str(to), remedy="choose another place"
        ) from error
    return len(pixels.labels_N)
