"""The convexify stage: a few checkpoints of each expert and its progress at every epoch.

The store is self-sufficient: matching a convex path does not need the recorded one. `anchors` (experts x anchors x
P, float32), `epochs` (the anchors'), `progress` (experts x (epochs + 1) x tensors, float64).

Beside it, `accuracies` says how well the points of each path classify, for people to look at: a path is useful if its
points are as good as the recorded ones between its anchors.

Source: MCT, arXiv:2406.19827.
"""

import csv
import io
from collections.abc import Sequence

import numpy as np
import torch
import zarr
from torch import Tensor

from dcpipe import device
from dcpipe.data import arrays
from dcpipe.data import store as images
from dcpipe.errors import UserError
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.experts.convex import progress_of_lengths
from dcpipe.experts.convex_path import ConvexTrajectories
from dcpipe.experts.trajectory import ParameterLayout
from dcpipe.models.build import build
from dcpipe.params.experts import CLASSIFIED_AT_A_POINT, Store
from dcpipe.params.waypoints import Waypoints
from dcpipe.progress import track
from dcpipe.workflow.task import Task


def run(task: Task) -> None:
    """Keep the first, the waypoints' and the last checkpoint of every expert of a shard, and its progress."""
    recorded, wildcards = task.input("trajectory"), task.job.wildcards
    store = task.section("store", Store)
    kept = [int(epoch) for epoch in arrays.read(recorded, "epochs")]
    lengths = torch.from_numpy(arrays.read(recorded, "lengths"))
    waypoints = Waypoints.parse(wildcards["waypoints"])
    epochs, sources = (0, *waypoints.epochs, lengths.shape[1]), waypoints.anchor_epochs(lengths.shape[1])
    missing = [epoch for one in sources for epoch in one if epoch not in kept]
    if missing:
        remedy = "add it to kept_epochs of the experts, and train them again"
        raise UserError(f"epoch {missing[0]} was not kept", where=str(recorded), remedy=remedy)

    def anchor(expert: int, epochs: tuple[int, ...]) -> Tensor:
        found = [arrays.read(recorded, "theta", (expert, kept.index(epoch), slice(None))) for epoch in epochs]
        return mean_checkpoint([torch.from_numpy(one) for one in found])

    theta = torch.stack(
        [torch.stack([anchor(expert, one) for one in sources]) for expert in range(len(lengths))]
    ).numpy()
    path = task.output("path")
    attributes = dict(arrays.attributes(recorded).mapping())
    zarr.create_group(str(path), zarr_format=3, attributes=attributes)
    count, num_params = len(theta), theta.shape[2]
    shape, shards = theta.shape, (1, len(epochs), num_params)
    anchors = arrays.create(
        path,
        "anchors",
        shape,
        "float32",
        chunks=(1, 1, num_params),
        shards=shards,
        codec=store.codec,
        level=store.level,
    )
    for row in range(count):
        anchors[row : row + 1] = theta[row : row + 1]
    arrays.write_rows(path, "epochs", np.asarray(epochs, dtype=np.int64), chunk_rows=len(epochs))
    progress = torch.stack([progress_of_lengths(expert) for expert in lengths])
    arrays.write_rows(path, "progress", progress.numpy(), chunk_rows=count)
    task.output("accuracies").write_text(_accuracies_as_csv(task, epochs[-1]))


def mean_checkpoint(checkpoints: Sequence[Tensor]) -> Tensor:
    """The mean of one checkpoint (P), which is itself, or of two (P)."""
    first, *others = checkpoints
    return (first + others[0]) / 2 if others else first


def _accuracies_as_csv(task: Task, last: int) -> str:
    """A CSV with one row per epoch and expert: accuracy in percent on train, or on val where there is one, never test.

    Networks with batch norm use the batch's own statistics: points between checkpoints have no running ones.
    """
    target, data_path = device.choose(), task.input("train")
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    has_val = (data_path / "val").is_dir()
    every = images.load(data_path, "val" if has_val else "train", target, whitened_by)
    some = every.evenly_spaced(CLASSIFIED_AT_A_POINT)
    network = task.section("network", str)
    model = build(network, channels=some.channels, image_size=some.size, classes=some.classes)
    path = ConvexTrajectories([task.output("path")], ParameterLayout.from_specs(network, model.layout))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("expert", "epoch", "accuracy"))
    for expert in track(range(path.num_experts), "paths"):
        for epoch in range(last + 1):
            measured = accuracy(model, path.at(expert, epoch).to(target), some, None)
            writer.writerow((expert, epoch, measured))
    return text.getvalue()
