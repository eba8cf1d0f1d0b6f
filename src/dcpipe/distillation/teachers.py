"""Experts as networks that look at images, not only as points to start from and to reach.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor

from dcpipe.distillation import composition
from dcpipe.distillation.matching.common import Setting
from dcpipe.experts.trajectory import Layout
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.trajectory import Trajectory

BATCH = 1024


class Path(Protocol):
    """Experts behind one index, recorded or convex; `last_epoch` is the last that can be asked for."""

    @property
    def num_experts(self) -> int: ...

    @property
    def last_epoch(self) -> int: ...

    def at(self, expert: int, time: float) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Teachers:
    """The experts that a preset imitates, and their network."""

    model: FlatModel
    path: Path

    @classmethod
    def of(cls, setting: Setting) -> "Teachers":
        """Open the stores of a job."""
        what, train, network = setting.method.matching, setting.train, setting.task.section("network", str)
        assert isinstance(what, Trajectory)  # noqa: S101 (planning refuses teachers elsewhere)
        model = build(network, channels=train.channels, image_size=train.size, classes=train.classes)
        reader = getattr(composition.load(composition.PATHS[what.path.kind]), composition.READERS[what.path.kind])
        return cls(model, cast(Path, reader(setting.task.inputs("trajectories"), Layout.of(network, model.layout))))

    def last(self, expert: int) -> Tensor:
        """An expert's parameters (P, CPU) at the last epoch that can be asked for."""
        return self.path.at(expert, self.path.last_epoch)


@torch.no_grad()
def logits(model: FlatModel, theta_P: Tensor, images_NCHW: Tensor) -> Tensor:
    """Logits (N, K) of unaugmented images by a network without batch norm, whose images do not see each other."""
    return torch.cat([model(theta_P, part) for part in torch.split(images_NCHW, BATCH)])
