"""Experts as networks that look at images, not only as points to start from and to reach.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation.setting import Setting
from dcpipe.experts.trajectory import ExpertTrajectories, ParameterLayout
from dcpipe.models.flat import FlatModel

BATCH = 1024


@dataclass(frozen=True, slots=True)
class Teachers:
    """The experts that a preset imitates, and their network."""

    model: FlatModel
    path: ExpertTrajectories

    @classmethod
    def from_setting(cls, setting: Setting) -> "Teachers":
        """Open the stores of a job."""
        model = setting.model()
        layout = ParameterLayout.from_specs(setting.network, model.layout)
        return cls(model, setting.method.matching.open_experts(setting.trajectories, layout))

    def last_parameters(self, expert: int) -> Tensor:
        """An expert's parameters (P, CPU) at the last epoch that can be asked for."""
        return self.path.at(expert, self.path.last_epoch)


@torch.no_grad()
def logits(model: FlatModel, theta_P: Tensor, images_NCHW: Tensor) -> Tensor:
    """Logits (N, K) of unaugmented images by a network without batch norm, whose images do not see each other."""
    return torch.cat([model(theta_P, part) for part in torch.split(images_NCHW, BATCH)])
