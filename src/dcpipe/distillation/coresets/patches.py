"""Mosaics of the patches that a teacher is surest of, with the teacher's soft labels; nothing is optimised.

Of each candidate, a real image of the class, random crops are drawn, and the one with the least cross-entropy under the
teacher counts (its realism). The candidates whose crops are surest fill the class's images, several on each, made
smaller; the label of an image is what the teacher says of the whole.

Source: RDED, arXiv:2312.03526: key patches by a realism score, squeezed into one image and relabelled. Differences:
labels are of whole images, not of each crop that a student sees; the teacher is an expert of the dataset; crops are
squares, one in so many is the best of its image.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet, drawn_rows, rows_by_class
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.flat import FlatModel, Statistics

if TYPE_CHECKING:
    from dcpipe.distillation.coresets.patches_config import ConfidentPatches

BATCH = 1024


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained network: parameters (P) and, with batch norm, its running statistics."""

    model: FlatModel
    theta_P: Tensor
    statistics: Statistics | None

    @classmethod
    def from_setting(cls, setting: Setting, first_expert: int) -> "Teacher":
        """The expert of this set, at its last kept epoch."""
        model = setting.model()
        experts = RecordedTrajectories(setting.trajectories, ParameterLayout.from_specs(setting.network, model.layout))
        last, expert = experts.last_epoch, (first_expert + setting.set_index) % experts.num_experts
        statistics = None
        if model.has_running_statistics:
            statistics = model.unpack(experts.statistics_at(expert, last).to(setting.device))
        return cls(model, experts.at(expert, last).to(setting.device), statistics)

    @torch.no_grad()
    def logits(self, images_NCHW: Tensor) -> Tensor:
        """What it says of images. Shapes: N C H W -> N K."""
        parts = [self.model(self.theta_P, part, self.statistics) for part in torch.split(images_NCHW, BATCH)]
        return torch.cat(parts)


def confident_patches(setting: Setting, *, config: "ConfidentPatches", step_size: float) -> DistillationResult:
    """`ipc` mosaics of each class, sorted by class."""
    train, teacher = setting.train, Teacher.from_setting(setting, config.expert)
    stream = setting.stream.child("patches")
    mosaics = []
    for label, rows in enumerate(rows_by_class(train.labels_N, train.classes)):
        candidates = drawn_rows(rows, label, config.candidates, stream.child("candidates"))
        draws = stream.child("crops", label).generator()
        patches = most_confident_crops(
            train.images_NCHW[candidates.to(train.labels_N.device)], label, teacher, config, draws
        )
        mosaics.append(mosaic(patches[: setting.ipc * config.grid**2], config.grid))
    images = torch.cat(mosaics)
    classes = torch.arange(train.classes, device=images.device).repeat_interleave(setting.ipc)
    labels = teacher.logits(images) if config.labels == "teacher" else classes
    synthetic = SyntheticSet(images, labels, torch.tensor(step_size, dtype=torch.float64, device=images.device))
    setting.facts["teacher_agrees_with_class"] = float(
        (teacher.logits(images).argmax(dim=1) == classes).double().mean()
    )
    return DistillationResult(synthetic, [(0, synthetic)])


def most_confident_crops(
    images_NCHW: Tensor, label: int, teacher: Teacher, config: "ConfidentPatches", draws: torch.Generator
) -> Tensor:
    """The surest of each image's crops at full size, the surest first (N x C x H x W)."""
    count, size = len(images_NCHW), images_NCHW.shape[-1]
    best_N = torch.full((count,), torch.inf, device=images_NCHW.device)
    chosen = images_NCHW.clone()
    target_N = torch.full((count,), label, device=images_NCHW.device)
    for _ in range(config.crops):
        crops = random_crops(images_NCHW, config.smallest_crop, draws)
        loss_N = functional.cross_entropy(teacher.logits(crops), target_N, reduction="none")
        better = loss_N < best_N
        chosen[better], best_N[better] = crops[better], loss_N[better]
    return chosen[torch.argsort(best_N, stable=True)].view(count, -1, size, size)


def random_crops(images_NCHW: Tensor, smallest: float, draws: torch.Generator) -> Tensor:
    """One square of each image, of a share of its area between `smallest` and 1, at full size again (bilinear).

    Takes the same amount of numbers from the generator whatever comes out.
    """
    count, _, size, _ = images_NCHW.shape
    uniform_N3 = torch.rand(count, 3, generator=draws, dtype=torch.float64)
    sides = ((smallest + (1 - smallest) * uniform_N3[:, 0]).sqrt() * size).round().clamp(min=1).long()
    crops = []
    for image, side, (_, down, right) in zip(images_NCHW, sides.tolist(), uniform_N3.tolist(), strict=True):
        top, left = (int(value * (size - side + 1)) for value in (down, right))
        crops.append(resized(image[None, :, top : top + side, left : left + side], size))
    return torch.cat(crops)


def mosaic(patches_NCHW: Tensor, grid: int) -> Tensor:
    """Every grid x grid patches made smaller and put on one image, row by row. Shapes: N C H W -> N / grid^2 C H W."""
    _, channels, size, _ = patches_NCHW.shape
    side = size // grid
    small = resized(patches_NCHW, side).view(-1, grid, grid, channels, side, side)
    return small.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, size, size)


def resized(images_NCHW: Tensor, side: int) -> Tensor:
    """Squares of another size, bilinear with antialiasing; the very same numbers at the same size."""
    if images_NCHW.shape[-1] == side:
        return images_NCHW
    return functional.interpolate(images_NCHW, (side, side), mode="bilinear", antialias=True, align_corners=False)
