"""Herding: real images chosen one by one so that their mean feature stays near the class's.

Source: Welling (2009), as the coreset baseline of DC and its successors; features are those before the last linear
layer of an expert's last kept checkpoint, not normalised; batch norms use that checkpoint's running statistics.
"""

import torch
from torch import Tensor

from dcpipe.distillation.coresets.real_selection import selection_result
from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.setting import Setting
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories

BATCH = 1024


def choose_rows(features_NF: Tensor, count: int) -> list[int]:
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
def herd(setting: Setting, *, first_expert: int, step_size: float) -> DistillationResult:
    """`ipc` images of each class. Every set of a cell takes the features of another expert."""
    train, model = setting.train, setting.model()
    experts = RecordedTrajectories(setting.trajectories, ParameterLayout.from_specs(setting.network, model.layout))
    last = experts.last_epoch
    expert = (first_expert + setting.set_index) % experts.num_experts
    theta, statistics = experts.at(expert, last).to(setting.device), None
    if model.has_running_statistics:
        statistics = model.unpack(experts.statistics_at(expert, last).to(setting.device))
    rows = []
    for label in range(train.classes):
        members = torch.nonzero(train.labels_N == label).flatten()
        features = [model.features(theta, train.images_NCHW[part], statistics) for part in torch.split(members, BATCH)]
        rows.append(members[choose_rows(torch.cat(features).cpu(), setting.ipc)])
    picked = torch.cat(rows)
    return selection_result(setting, train.images_NCHW[picked].clone(), train.labels_N[picked].clone(), step_size)
