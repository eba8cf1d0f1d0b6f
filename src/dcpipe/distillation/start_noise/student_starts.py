"""Where a student starts, and the distance that it is then measured by.

Legend: P parameters, all layers in one vector.
"""

from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from dcpipe.distillation.distances.trajectory_distance import displacement_distance, trajectory_distance
from dcpipe.random import Stream

if TYPE_CHECKING:
    from dcpipe.distillation.start_noise.start_noise_config import GaussianNoise

Distance = partial[Tensor]
"""A distance (0-d) of the student's last parameters (P); its other vectors (P) are given by name."""


class StartRule(Protocol):
    """From an expert's start and target (P each): where the student starts (P), and its distance to the target."""

    def __call__(self, start_P: Tensor, target_P: Tensor, stream: Stream) -> tuple[Tensor, Distance]: ...


def at_checkpoint(start_P: Tensor, target_P: Tensor, stream: Stream) -> tuple[Tensor, Distance]:  # noqa: ARG001
    """At the expert's checkpoint itself. Source: MTT, arXiv:2203.11932."""
    return start_P, partial(trajectory_distance, start_P=start_P, target_P=target_P)


def beside_checkpoint(
    config: "GaussianNoise", start_P: Tensor, target_P: Tensor, stream: Stream
) -> tuple[Tensor, Distance]:
    """At the checkpoint plus Gaussian noise. Source: FTD, arXiv:2211.11004, equation 9."""
    drawn_P = torch.randn(start_P.shape, generator=stream.child("noise").generator()).to(start_P)
    student_P = start_P + config.sigma * start_P.square().mean().sqrt() * drawn_P
    if config.objective == "endpoint":
        return student_P, partial(trajectory_distance, start_P=start_P, target_P=target_P)
    return student_P, partial(displacement_distance, student_start_P=student_P, start_P=start_P, target_P=target_P)
