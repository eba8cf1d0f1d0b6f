"""Cutting a dataset into train, validation and test, by a named seed and in equal parts of every class."""

import numpy as np
import torch
from numpy.typing import NDArray

from dcpipe.random import Stream

Indices = NDArray[np.int64]


def stratified(labels: NDArray[np.int64], counts: dict[str, int | None], stream: Stream) -> dict[str, Indices]:
    """Disjoint index sets with so many images of every class; None takes all that are left.

    Each class is shuffled by its own named draw, so asking for more of a later part never changes an earlier one.
    Returned indices ascend.
    """
    parts: dict[str, list[Indices]] = {name: [] for name in counts}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = torch.randperm(len(rows), generator=stream.child("class", int(label)).generator()).numpy()
        rows, taken = rows[order], 0
        for name, count in counts.items():
            stop = len(rows) if count is None else taken + count
            parts[name].append(rows[taken:stop])
            taken = min(stop, len(rows))
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}
