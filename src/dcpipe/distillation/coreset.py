"""Real images as they are: the baselines that a synthetic set must beat, and the ceiling."""

import torch

from dcpipe.data.store import Images
from dcpipe.distillation.result import Result
from dcpipe.distillation.synthetic_set import SyntheticSet, real_images
from dcpipe.params.coreset import Coreset, Whole
from dcpipe.params.method import Method
from dcpipe.random import Stream
from dcpipe.workflow.task import Task


def run(task: Task, method: Method, train: Images, stream: Stream, device: torch.device) -> Result:
    """`ipc` images of each class, uniformly without replacement; or all images, sorted by class."""
    what = method.matching
    assert isinstance(what, Coreset)  # noqa: S101 (the composition chose this module)
    if isinstance(what.selection, Whole):
        order = torch.argsort(train.labels_N, stable=True)
        images, labels = train.images_NCHW[order], train.labels_N[order]
    else:
        images, labels = real_images(train, int(task.job.wildcards["ipc"]), stream.child("initial"))
    step_size = torch.tensor(what.step_size, dtype=torch.float64, device=device)
    synthetic = SyntheticSet(images, labels, step_size)
    return Result(synthetic, [(0, synthetic)])
