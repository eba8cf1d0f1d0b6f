"""Squares of the two photographs that come with scikit-learn.

Legend: N images, C channels, H W pixels.
"""

import numpy as np

from dcpipe.data.source import Part, PartName, Pixels


def squares(photograph_HWC: Pixels, side: int) -> Pixels:
    """A photograph in squares (N x C x side x side), from left to right and down; what is left over is dropped."""
    rows, columns = photograph_HWC.shape[0] // side, photograph_HWC.shape[1] // side
    whole = photograph_HWC[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return np.ascontiguousarray(whole.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side))


class Squares:
    """See `dcpipe.data.source.Source`."""

    def __init__(self, side: int) -> None:
        self._side = side

    def files(self) -> None:
        """None of their own: the package's version is part of the code's identity."""

    def require_published_data(self, digest: str) -> None:
        """Nothing to compare."""

    def part(self, name: PartName) -> Part:  # noqa: ARG002 (there is only the whole)
        """All squares, labelled by their photograph."""
        from sklearn.datasets import load_sample_images

        cut = [squares(photograph, self._side) for photograph in load_sample_images().images]
        images = np.concatenate(cut)
        labels = np.repeat(np.arange(len(cut)), [len(one) for one in cut])
        return Part(labels, lambda rows: images[rows], ("temple", "flower"))

    def card_facts(self) -> dict[str, object]:
        """Nothing to add."""
        return {}
