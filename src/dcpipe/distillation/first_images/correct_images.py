"""First images that experts classify correctly: real ones that an expert at its last kept epoch takes for their class.

Source: DATM (arXiv:2310.05773), its public code.

Legend: N images, C channels, H W pixels, P parameters.
"""

import torch
from torch import Tensor

from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import drawn_class_rows
from dcpipe.distillation.teachers import Teachers, logits
from dcpipe.errors import UserError
from dcpipe.random import Stream

BATCH = 256


def correctly_classified_images(setting: Setting, stream: Stream) -> tuple[Tensor, Tensor]:
    """Images (N x C x H x W) and their labels (N), `setting.ipc` of each class, sorted by class.

    Each class is shuffled as for real images, and the first that expert 0 classifies correctly are taken; if these are
    too few, then the first of the rest that expert 1 does, and so on.
    Errors: UserError if all experts together classify fewer correctly.
    """
    train, teachers, ipc = setting.train, Teachers.from_setting(setting), setting.ipc
    waiting = {c: drawn_class_rows(train.labels_N, c, len(train.labels_N), stream) for c in range(train.classes)}
    taken = {label: rows[:0] for label, rows in waiting.items()}
    for expert in range(teachers.path.num_experts):
        theta_P = teachers.last_parameters(expert).to(setting.device)
        for label in (label for label, rows in taken.items() if len(rows) < ipc):
            right, waiting[label] = _split_by_correctness(
                setting, teachers, theta_P, waiting[label], ipc - len(taken[label])
            )
            taken[label] = torch.cat([taken[label], right])
    for label, rows in taken.items():
        if len(rows) < ipc:
            problem = f"experts classify {len(rows)} images of class {label} correctly, {ipc} are asked for"
            remedy = "write outer.images.initial: real, or train the experts longer"
            raise UserError(problem, where="outer.images.initial: correct", remedy=remedy)
    rows = torch.cat(list(taken.values())).to(train.labels_N.device)
    return train.images_NCHW[rows].clone(), train.labels_N[rows].clone()


def _split_by_correctness(
    setting: Setting, teachers: Teachers, theta_P: Tensor, rows: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The first `count` rows that are classified correctly, and those that are not; the rest is not looked at."""
    right, wrong = rows[:0], rows[:0]
    for part in torch.split(rows, BATCH):
        if len(right) >= count:
            break
        on_device = part.to(setting.train.labels_N.device)
        said = logits(teachers.model, theta_P, setting.train.images_NCHW[on_device]).argmax(dim=1)
        agrees = (said == setting.train.labels_N[on_device]).cpu()
        right, wrong = torch.cat([right, part[agrees]]), torch.cat([wrong, part[~agrees]])
    return right[:count], wrong
