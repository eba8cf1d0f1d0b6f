"""Averages of the synthetic images over the iterations.

Legend: N images, C channels, H W pixels.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from dcpipe.distillation.averaging.averaging_config import Ema

Average = Callable[[Tensor, Tensor], Tensor]
"""(average so far, images after an iteration), N x C x H x W each -> the average now."""


def latest_images(_average_NCHW: Tensor, images_NCHW: Tensor) -> Tensor:
    """The images themselves."""
    return images_NCHW


def running_mean(decay: float) -> Average:
    """EMA with this decay (FTD, arXiv:2211.11004)."""
    return lambda average_NCHW, images_NCHW: update(average_NCHW, images_NCHW, decay)


def scaled_decay(config: "Ema", iterations: int) -> float:
    """The decay that leaves the initial images the same weight after this many iterations as the published one.

    d with d^iterations = decay^of_iterations; the published decay itself for a run of the published length.
    """
    return float(config.decay ** (config.of_iterations / iterations))


def update(mean_NCHW: Tensor, images_NCHW: Tensor, decay: float) -> Tensor:
    """E <- d E + (1 - d) S; no correction for the start, which is the initial images themselves."""
    return decay * mean_NCHW + (1.0 - decay) * images_NCHW
