"""Real images as they are: the baselines that a synthetic set must beat, and the ceiling."""

import torch
from torch import Tensor

from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet, real_images


def at_random(setting: Setting, *, step_size: float) -> DistillationResult:
    """`ipc` images of each class, uniformly without replacement."""
    images, labels = real_images(setting.train, setting.ipc, setting.stream.child("initial"))
    return selection_result(setting, images, labels, step_size)


def all_images(setting: Setting, *, step_size: float) -> DistillationResult:
    """All images, sorted by class."""
    order = torch.argsort(setting.train.labels_N, stable=True)
    return selection_result(setting, setting.train.images_NCHW[order], setting.train.labels_N[order], step_size)


def selection_result(setting: Setting, images_NCHW: Tensor, labels_N: Tensor, step_size: float) -> DistillationResult:
    """The result of a choice of real images (N x C x H x W) and their labels (N)."""
    eta = torch.tensor(step_size, dtype=torch.float64, device=setting.device)
    synthetic = SyntheticSet(images_NCHW, labels_N, eta)
    return DistillationResult(synthetic, [(0, synthetic)])
