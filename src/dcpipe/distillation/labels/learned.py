"""Learned soft labels: logits that begin with what experts say, and move by the matching loss's derivative.

Source: DATM (arXiv:2310.05773), section 4.2 and its public code.

Legend: N images, C channels, H W pixels, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.matching.common import Episode, Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers, logits
from dcpipe.errors import UserError
from dcpipe.params.labels import LearnedLabels, OneExpert, OneHot


class Learned:
    """See `dcpipe.distillation.labels.common.Labels`."""

    def __init__(self, setting: Setting) -> None:
        assert setting.method.outer is not None  # noqa: S101 (a matching has an outer loop)
        what = setting.method.outer.labels
        assert isinstance(what, LearnedLabels)  # noqa: S101 (the composition chose this module)
        self._setting, self._initial = setting, what.initial

    def initial(self, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
        """Logits (N, K).

        Errors: UserError for an image that no expert classifies correctly, where those that do are asked.
        """
        if isinstance(self._initial, OneHot):
            one_hot_NK = functional.one_hot(classes_N, self._setting.train.classes)
            return self._initial.logit * one_hot_NK.to(images_NCHW.dtype)
        teachers = Teachers.of(self._setting)
        if isinstance(self._initial, OneExpert):
            return self._said(teachers, self._initial.expert, images_NCHW)
        total_NK, right_N = torch.zeros(1, device=images_NCHW.device), torch.zeros_like(classes_N)
        for expert in range(teachers.path.num_experts):
            said_NK = self._said(teachers, expert, images_NCHW)
            agrees_N = said_NK.argmax(dim=1) == classes_N
            total_NK, right_N = total_NK + said_NK * agrees_N[:, None], right_N + agrees_N
        if not bool(right_N.all()):
            what = f"no expert classifies image {int(right_N.argmin())} of the first ones correctly"
            remedy = "write outer.images.initial: correct, or outer.labels.initial.kind: one-expert"
            raise UserError(what, where="outer.labels.initial", remedy=remedy)
        return total_NK / right_N[:, None]

    @staticmethod
    def _said(teachers: Teachers, expert: int, images_NCHW: Tensor) -> Tensor:
        return logits(teachers.model, teachers.last(expert).to(images_NCHW.device), images_NCHW)

    def of(self, synthetic: SyntheticSet, _episode: Episode) -> SyntheticSet:
        """The set itself: its logits are part of it."""
        return synthetic


def make(setting: Setting) -> Learned:
    """The labels of a job."""
    return Learned(setting)
