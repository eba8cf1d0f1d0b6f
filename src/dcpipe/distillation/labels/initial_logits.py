"""The logits that learned labels start from.

Source: DATM (arXiv:2310.05773), section 4.2 and its public code.

Legend: N images, C channels, H W pixels, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.setting import Setting
from dcpipe.distillation.teachers import Teachers, logits
from dcpipe.errors import UserError


@dataclass(frozen=True, slots=True)
class OneHotLogits:
    """`logit` for the image's class and 0 for every other one."""

    classes: int
    logit: float

    def __call__(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """Logits (N, K)."""
        one_hot_NK = functional.one_hot(classes_N, self.classes)
        return self.logit * one_hot_NK.to(images_NCHW.dtype)


class OneExpertLogits:
    """What one expert says at its last kept epoch."""

    def __init__(self, setting: Setting, expert: int) -> None:
        self._teachers, self._expert = Teachers.from_setting(setting), expert

    def __call__(self, images_NCHW: Tensor, _classes_N: Tensor) -> Tensor:
        """Logits (N, K)."""
        return _expert_logits(self._teachers, self._expert, images_NCHW)


class CorrectExpertsMeanLogits:
    """The mean of what all experts say that classify the image correctly at their last kept epoch."""

    def __init__(self, setting: Setting) -> None:
        self._teachers = Teachers.from_setting(setting)

    def __call__(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """Logits (N, K). Raises: UserError for an image that no expert classifies correctly."""
        total_NK, right_N = torch.zeros(1, device=images_NCHW.device), torch.zeros_like(classes_N)
        for expert in range(self._teachers.path.num_experts):
            logits_NK = _expert_logits(self._teachers, expert, images_NCHW)
            agrees_N = logits_NK.argmax(dim=1) == classes_N
            total_NK, right_N = total_NK + logits_NK * agrees_N[:, None], right_N + agrees_N
        if not bool(right_N.all()):
            problem = f"no expert classifies initial image {int(right_N.argmin())} correctly"
            remedy = "write outer.images.initial: correct, or outer.labels.initial.kind: one-expert"
            raise UserError(problem, where="outer.labels.initial", remedy=remedy)
        return total_NK / right_N[:, None]


def _expert_logits(teachers: Teachers, expert: int, images_NCHW: Tensor) -> Tensor:
    return logits(teachers.model, teachers.last_parameters(expert).to(images_NCHW.device), images_NCHW)
