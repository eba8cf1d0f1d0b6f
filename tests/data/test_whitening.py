"""Laws of ZCA whitening, on handwritten digits and photographs that come with scikit-learn."""

from collections.abc import Callable

import pytest
import torch
from kornia.enhance import ZCAWhitening
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor

from dcpipe.data import whitening
from dcpipe.data.whitening import Whitening
from dcpipe.errors import UserError

EPS = 0.1
FITS: list[Callable[[Tensor, float], Whitening]] = [
    lambda x, eps: whitening.fit_by_kornia(x, eps=eps),
    lambda x, eps: whitening.fit_by_eigh(x.split(100), eps=eps),
]
either_fit = pytest.mark.parametrize("fit", FITS, ids=["kornia", "eigh"])


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """1797 digits of 64 pixels in [0, 1]; three pixels are black in all of them."""
    return torch.tensor(load_digits().data / 16)


@pytest.fixture(scope="module")
def patches() -> Tensor:
    """Colour patches of 3x4x4 from a photograph: every direction varies, most of them little."""
    photo_HWC = torch.tensor(load_sample_image("china.jpg"), dtype=torch.float64) / 255
    return photo_HWC[:400, :600].unfold(0, 4, 4).unfold(1, 4, 4).reshape(-1, 48)


@either_fit
def test_both_fits_equal_kornia_in_float64(digits: Tensor, fit: Callable[[Tensor, float], Whitening]) -> None:
    kornia = ZCAWhitening(eps=EPS, compute_inv=True).fit(digits)
    ours = fit(digits, EPS)
    torch.testing.assert_close(ours.mean_D, kornia.mean_vector[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(ours.matrix_DD, kornia.transform_matrix, rtol=0, atol=1e-13)
    torch.testing.assert_close(ours.inverse_DD, kornia.transform_inv, rtol=0, atol=1e-13)
    torch.testing.assert_close(whitening.apply(ours, digits), kornia(digits), rtol=0, atol=1e-12)


@either_fit
def test_the_matrix_is_symmetric_bit_for_bit_and_times_its_inverse_is_one(
    digits: Tensor, fit: Callable[[Tensor, float], Whitening]
) -> None:
    ours = fit(digits, EPS)
    assert torch.equal(ours.matrix_DD, ours.matrix_DD.T)
    assert torch.equal(ours.inverse_DD, ours.inverse_DD.T)
    product = ours.matrix_DD @ ours.inverse_DD
    torch.testing.assert_close(product, torch.eye(64, dtype=torch.float64), rtol=0, atol=1e-13)


@either_fit
def test_inverting_brings_the_images_back(digits: Tensor, fit: Callable[[Tensor, float], Whitening]) -> None:
    ours = fit(digits, EPS)
    images = digits.view(-1, 1, 8, 8)
    back = whitening.invert(ours, whitening.apply(ours, images))
    torch.testing.assert_close(back, images, rtol=0, atol=1e-13)


@either_fit
def test_whitened_variances_are_s_over_s_plus_eps_along_the_same_axes(
    digits: Tensor, fit: Callable[[Tensor, float], Whitening]
) -> None:
    spectrum, basis = torch.linalg.eigh(torch.cov(digits.T))
    white = whitening.apply(fit(digits, EPS), digits)
    expected = (basis * (spectrum / (spectrum + EPS))) @ basis.T
    torch.testing.assert_close(torch.cov(white.T), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(white.mean(0), torch.zeros(64, dtype=torch.float64), rtol=0, atol=1e-13)
    assert torch.linalg.eigvalsh(torch.cov(white.T)).max() < 1


@either_fit
def test_as_eps_vanishes_images_of_full_rank_become_white(
    patches: Tensor, fit: Callable[[Tensor, float], Whitening]
) -> None:
    identity = torch.eye(48, dtype=torch.float64)
    smallest = torch.linalg.eigvalsh(torch.cov(patches.T)).min().item()
    assert smallest > 1e-6
    for eps in (1e-8, 1e-9):
        covariance = torch.cov(whitening.apply(fit(patches, eps), patches).T)
        assert torch.linalg.matrix_norm(covariance - identity, 2) < 1.01 * eps / (smallest + eps)


@either_fit
def test_pixels_that_never_change_stay_finite_and_return(
    digits: Tensor, fit: Callable[[Tensor, float], Whitening]
) -> None:
    dead = digits.std(0) == 0
    assert dead.sum() == 3
    ours = fit(digits, 1e-8)
    white = whitening.apply(ours, digits)
    assert white.isfinite().all()
    torch.testing.assert_close(white[:, dead], torch.zeros_like(white[:, dead]), rtol=0, atol=1e-8)
    torch.testing.assert_close(whitening.invert(ours, white), digits, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 7, 1000, 5000])
def test_where_the_chunks_are_cut_changes_nothing_but_rounding(digits: Tensor, rows: int) -> None:
    whole = whitening.fit_by_eigh([digits], eps=EPS)
    chunked = whitening.fit_by_eigh(iter(digits.split(rows)), eps=EPS)
    torch.testing.assert_close(chunked.mean_D, whole.mean_D, rtol=0, atol=1e-14)
    torch.testing.assert_close(chunked.matrix_DD, whole.matrix_DD, rtol=0, atol=1e-12)
    torch.testing.assert_close(chunked.inverse_DD, whole.inverse_DD, rtol=0, atol=1e-12)


def test_a_bright_offset_does_not_reach_the_streamed_covariance(digits: Tensor) -> None:
    plain = whitening.fit_by_eigh(digits.split(100), eps=EPS)
    bright = whitening.fit_by_eigh((digits + 1e6).split(100), eps=EPS)
    torch.testing.assert_close(bright.matrix_DD, plain.matrix_DD, rtol=0, atol=1e-8)


def test_chunks_in_another_order_or_empty_give_the_same_whitening(digits: Tensor) -> None:
    one = whitening.fit_by_eigh(digits.split(300), eps=EPS)
    other = whitening.fit_by_eigh([digits[:0], *reversed(digits.split(300)), digits[:0]], eps=EPS)
    torch.testing.assert_close(other.matrix_DD, one.matrix_DD, rtol=0, atol=1e-12)


def test_whitening_keeps_the_dtype_and_shape_of_the_images(digits: Tensor) -> None:
    ours = whitening.fit_by_kornia(digits, eps=EPS)
    images = digits.float().view(-1, 1, 8, 8)
    white = whitening.apply(ours, images)
    assert (white.dtype, white.shape) == (torch.float32, images.shape)
    assert torch.equal(white.flatten(1), whitening.apply(ours, images.double()).float().flatten(1))
    assert whitening.invert(ours, white).dtype == torch.float32


@either_fit
def test_no_eps_or_no_images_is_the_users_mistake(digits: Tensor, fit: Callable[[Tensor, float], Whitening]) -> None:
    for eps in (0.0, -0.1, float("nan")):
        with pytest.raises(UserError, match="positive eps"):
            fit(digits, eps)
    for rows in (0, 1):
        with pytest.raises(UserError, match="a covariance needs 2"):
            fit(digits[:rows], EPS)
