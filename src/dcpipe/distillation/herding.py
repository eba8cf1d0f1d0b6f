"""Herding: real images chosen one by one so that their mean feature stays near the class's.

Source: Welling (2009), as the coreset baseline of DC and its successors; features are those before the last linear
layer of an expert's last kept checkpoint, not normalised; batch norms use that checkpoint's running statistics.
"""

import torch
from torch import Tensor

from dcpipe.data import arrays
from dcpipe.data.store import Images
from dcpipe.distillation.result import Result
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts.trajectory import Layout, Recorded
from dcpipe.models.build import build
from dcpipe.params.coreset import Coreset, Herding
from dcpipe.params.method import Method
from dcpipe.random import Stream
from dcpipe.workflow.task import Task

BATCH = 1024


def choose(features_NF: Tensor, count: int) -> list[int]:
    """Rows, in the order they are chosen: each brings the mean of the chosen nearest to the mean of all.

    Among equals the first row wins. Errors: ValueError if more rows are asked for than there are.
    """
    if count > len(features_NF):
        raise ValueError(f"{count} rows of {len(features_NF)}")
    features_NF = features_NF.double()
    mean_F, total_F = features_NF.mean(dim=0), torch.zeros_like(features_NF[0])
    chosen: list[int] = []
    for size in range(1, count + 1):
        gap_N = ((total_F + features_NF) / size - mean_F).square().sum(dim=1)
        gap_N[chosen] = torch.inf
        chosen.append(int(gap_N.argmin()))
        total_F = total_F + features_NF[chosen[-1]]
    return chosen


@torch.no_grad()
def run(task: Task, method: Method, train: Images, _stream: Stream, device: torch.device) -> Result:
    """`ipc` images of each class. Every set of a cell takes the features of another expert."""
    what, words, network = method.matching, task.job.wildcards, task.section("network", str)
    assert isinstance(what, Coreset)  # noqa: S101 (the composition chose this module)
    assert isinstance(what.selection, Herding)  # noqa: S101 (the composition chose this module)
    model = build(network, channels=train.channels, image_size=train.size, classes=train.classes)
    paths = task.inputs("trajectories")
    experts = Recorded(paths, Layout.of(network, model.layout))
    last = max(int(epoch) for epoch in arrays.read(paths[0], "epochs"))
    expert = (what.selection.expert + int(words["set"])) % experts.num_experts
    theta, statistics = experts.at(expert, last).to(device), None
    if model.has_running_statistics:
        statistics = model.unpack(experts.statistics_at(expert, last).to(device))
    rows = []
    for label in range(train.classes):
        members = torch.nonzero(train.labels_N == label).flatten()
        features = [model.features(theta, train.images_NCHW[part], statistics) for part in torch.split(members, BATCH)]
        rows.append(members[choose(torch.cat(features).cpu(), int(words["ipc"]))])
    picked = torch.cat(rows)
    step_size = torch.tensor(what.step_size, dtype=torch.float64, device=device)
    synthetic = SyntheticSet(train.images_NCHW[picked].clone(), train.labels_N[picked].clone(), step_size)
    return Result(synthetic, [(0, synthetic)])
