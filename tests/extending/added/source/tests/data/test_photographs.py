"""The law of the source photographs."""

import numpy as np
from sklearn.datasets import load_sample_images

from dcpipe.data.photographs import Squares


def test_squares_are_the_photographs_pixels_in_their_places() -> None:
    part = Squares(16).part("all")
    images = part.read(np.arange(len(part.labels_N)))
    temple, flower = load_sample_images().images
    assert (images[0] == temple[:16, :16].transpose(2, 0, 1)).all()
    assert (images[41] == temple[16:32, 16:32].transpose(2, 0, 1)).all()
    assert (images[part.labels_N == 1][-1] == flower[400:416, 624:640].transpose(2, 0, 1)).all()
