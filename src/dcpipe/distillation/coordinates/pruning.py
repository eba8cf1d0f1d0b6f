"""Parameter pruning: the matching loss over those coordinates alone that the student got near.

A reconstruction from public descriptions of PP (arXiv:2209.14609): which coordinates are hard to match is told by how
far the magnitudes of student and target are apart; the published rule and its threshold were not at hand.

Legend: P parameters, all layers in one vector.
"""

from functools import partial

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.hypergradient_problem import Objective
from dcpipe.distillation.start_noise.student_starts import Distance
from dcpipe.errors import ExpertStalledError


def has_similar_magnitude(theta_P: Tensor, target_P: Tensor, threshold: float) -> Tensor:
    """True (P) where the smaller of the two magnitudes is at least `threshold` times the larger."""
    student_P, wanted_P = theta_P.detach().abs(), target_P.abs()
    return torch.minimum(student_P, wanted_P) >= threshold * torch.maximum(student_P, wanted_P)


def pruned(distance: Distance, target_P: Tensor, threshold: float) -> Objective:
    """A distance whose every vector (those it was given by name, and the student's) is 0 where it does not count.

    Which coordinates count is decided at the student's last parameters and is no function to differentiate.
    Errors: ExpertStalledError, from the distance that is made, if none counts.
    """

    def masked(theta_P: Tensor) -> Tensor:
        counts_P = has_similar_magnitude(theta_P, target_P, threshold).to(theta_P.dtype)
        if not counts_P.any():
            raise ExpertStalledError(
                f"no parameter of the student is within {threshold} of its target",
                remedy="lower outer.coordinates.threshold",
            )
        vectors = {name: counts_P * vector_P for name, vector_P in distance.keywords.items()}
        return partial(distance.func, **vectors)(counts_P * theta_P)

    return masked
