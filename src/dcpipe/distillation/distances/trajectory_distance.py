"""How far a student ended from where its expert went.

Legend: P parameters, all layers in one vector.
"""

from torch import Tensor

from dcpipe.errors import ExpertStalledError


def trajectory_distance(theta_P: Tensor, start_P: Tensor, target_P: Tensor) -> Tensor:
    """The student's squared gap to the expert's target, in units of the squared way the expert went (0-d).

    1 is no progress, 0 is the target reached; differentiable in `theta_P`.
    Errors: ExpertStalledError if start and target are one point, or so close that the square is 0.
    Source: the matching loss of MTT, arXiv:2203.11932.
    """
    return _squared_norm(theta_P - target_P) / _squared_displacement(start_P, target_P)


def displacement_distance(theta_P: Tensor, student_start_P: Tensor, start_P: Tensor, target_P: Tensor) -> Tensor:
    """As `trajectory_distance`, for a student that began beside the expert: it is held to the expert's move.

    `student_start_P` is the expert's start plus noise. Only displacements are compared, so the student is
    not asked to undo the noise.
    Errors: ExpertStalledError as there.
    Source: robust learning in FTD, arXiv:2211.11004, equation 9.
    """
    gap_P = (theta_P - student_start_P) - (target_P - start_P)
    return _squared_norm(gap_P) / _squared_displacement(start_P, target_P)


def _squared_norm(vector_P: Tensor) -> Tensor:
    # one reduction for numerator and denominator: a student that stays put then has distance exactly 1
    return vector_P.square().sum()


def _squared_displacement(start_P: Tensor, target_P: Tensor) -> Tensor:
    way = _squared_norm(target_P - start_P)
    if way.item() == 0:
        raise ExpertStalledError(
            "the expert did not move between the start and the target of this segment",
            remedy="choose later targets, or an expert that trains",
        )
    return way
