"""Principal components of checkpoints: where networks went, drawn in the plane that holds most of it.

Legend: N points, P parameters, K components.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

FLAT = 1e-12  # share of the largest singular value below which a component is rounding


@dataclass(frozen=True, slots=True)
class PrincipalComponents:
    """The components of some points: their mean (P), orthonormal directions (K x P), and the share of the variance that
    each explains (K, descending, summing to 1); float64. Directions of no variance are left out."""

    mean_P: Tensor
    directions_KP: Tensor
    explained_K: Tensor

    @property
    def explained_in_plane(self) -> tuple[float, float]:
        """The shares of the first two; 0 where there is one component."""
        first, second = [*self.explained_K.tolist(), 0.0][:2]
        return first, second

    def project(self, points_NP: Tensor) -> Tensor:
        """Coordinates of points along the components: N x K, float64."""
        return (points_NP.double() - self.mean_P) @ self.directions_KP.T

    def share_in_plane(self, points_NP: Tensor) -> float:
        """How much of the variance of points, about the mean, the first two components hold: 0 to 1."""
        squares = (points_NP.double() - self.mean_P).square().sum()
        return float(self.project(points_NP)[:, :2].square().sum() / squares)


def principal_components(points_NP: Tensor) -> PrincipalComponents:
    """All components of N points, by the singular values of the centred points.

    A direction points to where the last point lies. Memory: three copies of the points in float64.
    Raises: ValueError if all points are one.
    """
    points_NP = points_NP.double()
    mean_P = points_NP.mean(dim=0)
    centred_NP = points_NP - mean_P
    _, values, directions = torch.linalg.svd(centred_NP, full_matrices=False)
    kept = values > FLAT * max(float(values[0]), float(mean_P.norm()))
    if not bool(kept.any()):
        raise ValueError("points that do not differ have no components")
    directions, variances = directions[kept], values[kept].square()
    signs = torch.where(directions @ centred_NP[-1] < 0, -1.0, 1.0)
    return PrincipalComponents(mean_P, directions * signs[:, None], variances / variances.sum())
