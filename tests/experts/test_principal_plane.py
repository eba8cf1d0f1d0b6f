"""Laws of principal components: a plane is found exactly, shares sum to one, and turning the space turns nothing."""

import pytest
import torch

from dcpipe.experts.principal_plane import principal_components
from dcpipe.random import Stream


def _orthonormal(rows: int, size: int) -> torch.Tensor:
    draws = torch.randn(size, rows, generator=Stream.root(0, "test").generator(), dtype=torch.float64)
    return torch.linalg.qr(draws).Q.T


def _distances(points_NK: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(points_NK[:, None] - points_NK[None], dim=2)


def test_points_of_a_plane_are_found_in_it_exactly() -> None:
    """A spiral in a random plane of 300 dimensions: two components, every distance kept."""
    turns = torch.linspace(0, 9, 40, dtype=torch.float64)
    flat_N2 = turns[:, None] * torch.stack([turns.cos(), turns.sin()], dim=1)
    points_NP = flat_N2 @ _orthonormal(2, 300) + 5.0
    found = principal_components(points_NP)
    assert found.directions_KP.shape == (2, 300)
    assert float(found.explained_K.sum()) == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(_distances(found.project(points_NP)), _distances(flat_N2))
    assert found.share_in_plane(points_NP) == pytest.approx(1.0, abs=1e-12)


def test_shares_descend_sum_to_one_and_are_the_variances() -> None:
    points_NP = torch.randn(9, 50, generator=Stream.root(1, "test").generator()) * torch.arange(1, 51)
    found = principal_components(points_NP)
    assert len(found.explained_K) == 8, "nine points span eight directions"
    assert float(found.explained_K.sum()) == pytest.approx(1.0, abs=1e-12)
    assert (found.explained_K.diff() <= 0).all()
    variances_K = found.project(points_NP).var(dim=0)
    torch.testing.assert_close(variances_K / points_NP.double().var(dim=0).sum(), found.explained_K)
    assert found.share_in_plane(points_NP) == pytest.approx(float(found.explained_K[:2].sum()), abs=1e-12)
    torch.testing.assert_close(found.directions_KP @ found.directions_KP.T, torch.eye(8, dtype=torch.float64))


def test_turning_the_space_turns_nothing_and_the_last_point_is_ahead() -> None:
    points_NP = torch.randn(6, 20, generator=Stream.root(2, "test").generator(), dtype=torch.float64)
    turned = principal_components(points_NP @ _orthonormal(20, 20))
    found = principal_components(points_NP)
    coordinates_NK = found.project(points_NP)
    torch.testing.assert_close(turned.project(points_NP @ _orthonormal(20, 20)), coordinates_NK)
    assert (coordinates_NK[-1] >= 0).all()


def test_one_point_many_times_has_no_components() -> None:
    with pytest.raises(ValueError, match="do not differ"):
        principal_components(torch.full((4, 7), 0.3))
