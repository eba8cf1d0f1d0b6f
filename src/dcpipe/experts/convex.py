"""Convexified trajectories: a recorded expert as straight lines between a few of its checkpoints.

E checkpoints (one per epoch, the first untrained), P parameters, J parameter tensors, A anchors.
layout: (offset, size) of each tensor in the flat vector, in order and without gaps.

Between two neighbouring anchors every tensor moves on a straight line. How far it is at a given epoch is its
progress: the length of the recorded path so far, as a share of the whole path, tensor by tensor. Only the
anchors and the progress need to be kept. A tensor whose recorded path has no length, as a whole or between
two anchors, progresses evenly with time there: its two ends agree, so any progress gives the same point, and
this one keeps progress growing from 0 to 1.

Source: MCT, arXiv:2406.19827, equations 8 to 10. The paper keeps two checkpoints in between and gives no
formula for them; as in its released code, progress starts again at each: the same sums over the interval
alone. That code also puts means of neighbours in the place of the kept checkpoints: `smoothed-convex`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dcpipe.errors import UserError

TensorTiles = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ConvexAnchors:
    """The kept checkpoints and their epochs: the first, the waypoints, the last."""

    epochs: tuple[int, ...]
    theta_AP: Tensor


def anchor_checkpoints(checkpoints_EP: Tensor, waypoints: Sequence[int]) -> ConvexAnchors:
    """The checkpoints to keep: first, waypoints, last.

    Raises: UserError if the waypoints are not increasing epochs strictly between the first and the last.
    """
    last = len(checkpoints_EP) - 1
    epochs = (0, *waypoints, last)
    if any(after <= before for before, after in pairwise(epochs)):
        raise UserError(
            f"waypoints {list(waypoints)} do not increase between epoch 0 and epoch {last}",
            where="convex path",
            remedy=f"use increasing epochs from 1 to {last - 1}, or none",
        )
    return ConvexAnchors(epochs, checkpoints_EP[list(epochs)].clone())


def step_lengths(before_P: Tensor, after_P: Tensor, layout: TensorTiles) -> Tensor:
    """How far each tensor moved from one checkpoint to the next: J Euclidean norms in float64, on the CPU.

    All that progress needs of an epoch, should its checkpoint not be kept.
    """
    sizes = _sizes(layout, before_P.numel())
    moved_P = after_P.double() - before_P.double()
    return torch.stack([torch.linalg.vector_norm(part) for part in torch.split(moved_P, sizes)]).cpu()


def progress_of_lengths(lengths_TJ: Tensor) -> Tensor:
    """Progress from the step lengths of T epochs: T + 1 rows, the first all 0 and the last all 1."""
    walked_TJ = lengths_TJ.double().cumsum(dim=0)
    total_J = walked_TJ[-1]
    even_T1 = torch.arange(1, len(walked_TJ) + 1, dtype=torch.float64)[:, None] / len(walked_TJ)
    share_TJ = torch.where(total_J == 0, even_T1, walked_TJ / total_J)
    return torch.cat([torch.zeros_like(share_TJ[:1]), share_TJ])


def progress(checkpoints_EP: Tensor, layout: TensorTiles) -> Tensor:
    """Each tensor's share of its recorded path walked by each epoch: (E, J), float64, on the CPU."""
    steps = [step_lengths(before, after, layout) for before, after in pairwise(checkpoints_EP)]
    return progress_of_lengths(torch.stack(steps))


def interval_progress(progress_EJ: Tensor, interval: tuple[int, int], time: float) -> Tensor:
    """Progress at a time, rescaled to run from 0 at the interval's first epoch to 1 at its last: J numbers.

    Between epochs progress is interpolated. Unit of time: epochs, fractions allowed.
    """
    first, last = interval
    below = math.floor(time)
    at_J = torch.lerp(progress_EJ[below], progress_EJ[math.ceil(time)], time - below)
    length_J = progress_EJ[last] - progress_EJ[first]
    even_J = torch.full_like(at_J, (time - first) / (last - first))
    return torch.where(length_J == 0, even_J, (at_J - progress_EJ[first]) / length_J)


def point_at(anchors: ConvexAnchors, progress_EJ: Tensor, layout: TensorTiles, time: float) -> Tensor:
    """The parameters at a time on the convexified trajectory: P numbers where the anchors are, a new tensor.

    At the epoch of an anchor it is the stored checkpoint, bit for bit.
    Unit of time: epochs, fractions allowed.
    Raises: UserError for a time before the first epoch or after the last.
    Source: MCT, arXiv:2406.19827, equation 10.
    """
    if not 0 <= time <= anchors.epochs[-1]:
        raise UserError(
            f"time {time} is outside the trajectory's epochs 0 to {anchors.epochs[-1]}",
            where="convex path",
            remedy="lower the last start epoch or the expert's span",
        )
    if time in anchors.epochs:
        return anchors.theta_AP[anchors.epochs.index(int(time))].clone()
    index = sum(epoch < time for epoch in anchors.epochs) - 1
    share_J = interval_progress(progress_EJ, (anchors.epochs[index], anchors.epochs[index + 1]), time)
    start_P, end_P = anchors.theta_AP[index], anchors.theta_AP[index + 1]
    sizes_J = torch.tensor(_sizes(layout, start_P.numel()), device=start_P.device)
    # the few shares travel to the anchors' device and are spread out there
    share_P = share_J.to(start_P).repeat_interleave(sizes_J, output_size=start_P.numel())
    return torch.lerp(start_P, end_P, share_P)


def _sizes(layout: TensorTiles, numel: int) -> list[int]:
    """The tensors' sizes, after a check that they tile the flat vector."""
    end = 0
    for offset, size in layout:
        if offset != end:
            raise ValueError(f"layout has a tensor at {offset} where one should start at {end}")
        end += size
    if end != numel:
        raise ValueError(f"layout covers {end} parameters of {numel}")
    return [size for _, size in layout]
