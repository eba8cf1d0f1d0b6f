"""ZCA whitening: the symmetric map that takes the correlations out of images.

N images, D numbers per image (channels, rows, columns, in that order).

With mean m and covariance U diag(s) U^T (divisor N - 1), an image x becomes (x - m) T where
T = U diag((s + eps)^-1/2) U^T. The whitened covariance has the eigenvalues s / (s + eps): with the papers'
eps of 0.1 on pixels in [0, 1] few of them come near 1, so this is a partial whitening and eps a knob that
moves every accuracy; it has no default here. Fit on training images in [0, 1], without standardising them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import zarr
from torch import Tensor

from dcpipe.data import arrays
from dcpipe.errors import UserError


@dataclass(frozen=True, slots=True)
class Whitening:
    """A fitted whitening, all float64: (x - mean_D) matrix_DD whitens, z inverse_DD + mean_D brings back."""

    mean_D: Tensor
    matrix_DD: Tensor
    inverse_DD: Tensor
    eps: float


Fit = Callable[[Tensor], Whitening]
"""Training images as they are stored (N x D, uint8) -> the whitening fitted on them."""

KORNIA_PIXELS = 1024  # above, its singular value decomposition takes minutes; the eigendecomposition is equal
CHUNK_ROWS = 4096


def fit_zca(stored_ND: Tensor, *, eps: float) -> Whitening:
    """ZCA of stored images (N x D, uint8), by `fit` where they are small and by `fit_by_eigh` where they are not."""

    def chunks() -> Iterator[Tensor]:
        for rows in torch.split(stored_ND, CHUNK_ROWS):
            yield rows.double() / 255.0

    if stored_ND.shape[1] <= KORNIA_PIXELS:
        return fit_by_kornia(stored_ND.double() / 255.0, eps=eps)
    return fit_by_eigh(chunks(), eps=eps)


def fit_by_kornia(images_ND: Tensor, *, eps: float) -> Whitening:
    """Whitening of images held in memory, by Kornia in float64.

    Keeps a second copy of the images while it runs; `fit_by_eigh` does not.
    Raises: UserError if eps is not positive or there are fewer than two images.
    """
    from kornia.enhance import ZCAWhitening

    _refuse_unfit(len(images_ND), eps)
    fitted = ZCAWhitening(eps=float(eps), unbiased=True, compute_inv=True).fit(images_ND.double())
    return Whitening(
        mean_D=fitted.mean_vector.reshape(-1),
        matrix_DD=_symmetrise(fitted.transform_matrix),
        inverse_DD=_symmetrise(fitted.transform_inv),
        eps=eps,
    )


def fit_by_eigh(chunks: Iterable[Tensor], *, eps: float) -> Whitening:
    """The same whitening from rows that arrive in chunks, by an eigendecomposition.

    Holds one chunk and a few D x D matrices. Equal to `fit` up to rounding; the last bits depend on where
    the chunks are cut, so keep that a param.
    Shapes: chunks of (n, D), floating point, read once.
    Raises: UserError if eps is not positive or there are fewer than two images.
    Source: the chunks' moments are merged as in Chan, Golub and LeVeque (1979), in one pass.
    """
    count, mean_D, scatter_DD = _moments(chunks)
    _refuse_unfit(count, eps)
    spectrum_D, basis_DD = torch.linalg.eigh(scatter_DD / (count - 1))
    # rounding can leave a pixel that never changes with a variance just below zero
    root_D = (spectrum_D.clamp(min=0.0) + eps).sqrt()
    return Whitening(
        mean_D=mean_D,
        matrix_DD=_symmetrise((basis_DD / root_D) @ basis_DD.T),
        inverse_DD=_symmetrise((basis_DD * root_D) @ basis_DD.T),
        eps=eps,
    )


def apply(whitening: Whitening, x: Tensor) -> Tensor:
    """Whitened images, computed in float64 and returned in the shape, dtype and place of x (N, ...)."""
    mean_D, matrix_DD = whitening.mean_D.to(x.device), whitening.matrix_DD.to(x.device)
    return ((x.flatten(1).double() - mean_D) @ matrix_DD).view(x.shape).to(x.dtype)


def invert(whitening: Whitening, z: Tensor) -> Tensor:
    """The images that were whitened, for people to look at; shape, dtype and place of z (N, ...)."""
    mean_D, inverse_DD = whitening.mean_D.to(z.device), whitening.inverse_DD.to(z.device)
    return (z.flatten(1).double() @ inverse_DD + mean_D).view(z.shape).to(z.dtype)


def save(path: Path, whitening: Whitening) -> None:
    """Write a fitted whitening as Zarr: `mean`, `matrix`, `inverse` (float64), and eps."""
    zarr.create_group(str(path), zarr_format=3, attributes={"eps": whitening.eps})
    for name in ("mean_D", "matrix_DD", "inverse_DD"):
        rows = getattr(whitening, name).cpu().numpy()
        arrays.write_rows(path, name.split("_")[0], rows, chunk_rows=256)


def load(path: Path) -> Whitening:
    """Read a fitted whitening.

    Raises: CorruptArtifactError if a chunk differs from what was written.
    """
    mean_D, matrix_DD, inverse_DD = (
        torch.from_numpy(arrays.read(path, name)) for name in ("mean", "matrix", "inverse")
    )
    return Whitening(mean_D, matrix_DD, inverse_DD, eps=arrays.attributes(path)["eps"].number())


def _moments(chunks: Iterable[Tensor]) -> tuple[int, Tensor, Tensor]:
    """Number of rows, their mean, and the sum of outer products of what is left without it."""
    count = 0
    mean_D, scatter_DD = torch.zeros(0), torch.zeros(0)
    for chunk in chunks:
        rows_ND = chunk.double()
        here = len(rows_ND)
        if here == 0:
            continue
        mean_here_D = rows_ND.mean(dim=0)
        centred_ND = rows_ND - mean_here_D
        scatter_here_DD = centred_ND.T @ centred_ND
        if count == 0:
            count, mean_D, scatter_DD = here, mean_here_D, scatter_here_DD
            continue
        total = count + here
        gap_D = mean_here_D - mean_D
        # in place: at 12,288 numbers per image each of these matrices takes 1.2 GB
        scatter_DD += scatter_here_DD
        scatter_DD.addr_(gap_D, gap_D, alpha=count * here / total)
        count, mean_D = total, mean_D + gap_D * (here / total)
    return count, mean_D, scatter_DD


def _refuse_unfit(count: int, eps: float) -> None:
    if not eps > 0:
        raise UserError(
            f"eps is {eps}; pixels with zero variance cannot be whitened",
            where="whitening",
            remedy="use a positive eps; the papers use 0.1",
        )
    if count < 2:
        raise UserError(
            f"there are {count} images; a covariance needs 2", where="whitening", remedy="use at least two images"
        )


def _symmetrise(matrix_DD: Tensor) -> Tensor:
    """Symmetric to the last bit, which a product of rounded factors is not."""
    return (matrix_DD + matrix_DD.T) / 2
