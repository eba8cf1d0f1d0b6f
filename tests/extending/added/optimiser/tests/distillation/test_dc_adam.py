"""The law of the preset dc-adam."""

from pathlib import Path

import torch

from dcpipe.params.library import ParamsLibrary


def test_the_first_update_moves_every_pixel_by_the_rate() -> None:
    outer = ParamsLibrary(Path(__file__).parents[2]).method("dc-adam", "tiny", 1)[1].outer
    assert outer is not None
    images_NCHW, gradient_NCHW = torch.zeros(2, 1, 8, 8), torch.linspace(-3, 2, 128).view(2, 1, 8, 8)
    moved_NCHW = outer.images.optimiser.build().step(images_NCHW, gradient_NCHW)
    torch.testing.assert_close(moved_NCHW, -0.01 * gradient_NCHW.sign())
