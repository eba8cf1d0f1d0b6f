"""EMA of the synthetic images (FTD, arXiv:2211.11004)."""

from torch import Tensor

from dcpipe.params.outer import Ema


def decay_of(what: Ema, iterations: int) -> float:
    """The decay that leaves the initial images the same weight after this many iterations as the published one.

    d with d^iterations = decay^of_iterations; the published decay itself for a run of the published length.
    """
    return float(what.decay ** (what.of_iterations / iterations))


def update(mean_NCHW: Tensor, images_NCHW: Tensor, decay: float) -> Tensor:
    """E <- d E + (1 - d) S; no correction for the start, which is the initial images themselves."""
    return decay * mean_NCHW + (1.0 - decay) * images_NCHW
