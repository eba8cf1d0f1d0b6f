"""The distill stage: one synthetic set."""

import csv
import io
import logging

import torch

from dcpipe import device
from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.distillation import preview, synthetic_set
from dcpipe.distillation.pixel_range import describe_range, is_far_out_of_range, pixel_range
from dcpipe.distillation.setting import Setting
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.random import Stream
from dcpipe.workflow.task import Task

HISTORY = (
    "iteration",
    "expert",
    "start_epoch",
    "loss",
    "step_size",
    "image_gradient_norm",
    "step_size_gradient",
)

log = logging.getLogger("dcpipe")


def run(task: Task) -> None:
    """Make the set and write it, with its snapshots, history and preview."""
    method, wildcards = task.section("method", Method), task.job.wildcards
    target = device.choose()
    data_path = task.input("train")
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    train = store.load(data_path, "train", target, whitened_by)
    _refuse_small_class(task, train, int(wildcards["ipc"]))
    names = (wildcards["dataset"], wildcards["method"], int(wildcards["ipc"]), int(wildcards["set"]))
    setting = Setting(
        method,
        train,
        store.load_transform(data_path, whitened_by),
        ipc=int(wildcards["ipc"]),
        set_index=int(wildcards["set"]),
        stream=Stream.root(method.seed, "distill", *names),
        device=target,
        state=task.state,
        name=task.job.name,
        network=task.section("network", str) if "network" in task.job.sections else "",
        trajectories=tuple(task.inputs("trajectories")) if "trajectories" in task.job.inputs else (),
        facts=task.facts,
        root=task.root,
    )
    result = method.matching.distiller()(setting)
    synthetic_set.save(task.output("synthetic"), result.synthetic)
    synthetic_set.save_snapshots(task.output("snapshots"), result.snapshots)
    task.output("history").write_text(_csv(result.history))
    pixels = setting.transform.invert(result.synthetic.images_NCHW)
    preview.save_preview(task.output("preview"), pixels, result.synthetic.class_labels, train.classes)
    seen = pixel_range(pixels)
    if is_far_out_of_range(seen):
        log.warning(
            "%s: its pixels are far outside the range of an image (%s): lower the learning rate",
            task.job.name,
            describe_range(seen),
        )
    iterations = {row["iteration"] for row in result.history}
    task.facts |= {
        "images": len(result.synthetic.labels),
        "iterations": len(iterations),
        "updates": len(result.history),
        "pixel_range": list(seen),
    }


def _refuse_small_class(task: Task, train: Images, ipc: int) -> None:
    """A set has `ipc` images of each class, or is not made. Raises: UserError naming the first class with fewer."""
    counts = torch.bincount(train.labels_N.cpu(), minlength=train.classes).tolist()
    label = counts.index(min(counts))
    if counts[label] < ipc:
        problem = f"{ipc} images per class are asked for; class {label} has {counts[label]} training images"
        raise UserError(problem, where=task.job.name, remedy=f"ask for at most {counts[label]}, or add images")


def _csv(rows: list[dict[str, int | float]]) -> str:
    text = io.StringIO()
    columns = list(rows[0]) if rows else list(HISTORY)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
