"""The digits that come with scikit-learn."""

import numpy as np
from numpy.typing import NDArray

from dcpipe.data.source import Part, PartName
from dcpipe.errors import UserError


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All 1,797 images (N x 1 x 8 x 8, uint8) and their labels (N).

    The publisher's pixels are counts from 0 to 16; they are spread over 0 to 255 so that one byte scale serves
    all datasets.

    Raises: UserError if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        remedy = "pip install scikit-learn"
        raise UserError("the digits come with scikit-learn, which is not installed", remedy=remedy) from error
    images, labels = load_digits(return_X_y=True)
    scaled = np.rint(images.reshape(-1, 1, 8, 8) * (255.0 / 16.0)).astype(np.uint8)
    return scaled, labels.astype(np.int64)


class DigitsOfScikitLearn:
    """One part, inside a package that is pinned."""

    def files(self) -> None:
        """None: the version of scikit-learn is part of the code identity."""

    def require_published_data(self, digest: str) -> None:
        """Nothing to compare."""

    def part(self, name: PartName) -> Part:
        """All images. Raises: ValueError for another part."""
        if name != "all":
            raise ValueError(f"the digits have no {name} part")
        images, labels = load_digits()
        return Part(labels, lambda rows: images[rows])

    def card_facts(self) -> dict[str, object]:
        """Nothing to add."""
        return {}
