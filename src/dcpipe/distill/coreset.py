"""Real images as they are: the baselines that a synthetic set must beat."""

import torch

from dcpipe.data.store import Images
from dcpipe.distill.result import Result
from dcpipe.distill.synthetic_set import SyntheticSet, real_images
from dcpipe.params.method import Coreset, Method
from dcpipe.random import Stream
from dcpipe.task import Task


def run(task: Task, method: Method, train: Images, stream: Stream, device: torch.device) -> Result:
    """`ipc` images of each class, uniformly without replacement."""
    what = method.matching
    assert isinstance(what, Coreset)  # noqa: S101 (the composition chose this module)
    images, labels = real_images(train, int(task.job.wildcards["ipc"]), stream.child("initial"))
    step_size = torch.tensor(what.step_size, dtype=torch.float64, device=device)
    synthetic = SyntheticSet(images, labels, step_size)
    return Result(synthetic, [(0, synthetic)])
