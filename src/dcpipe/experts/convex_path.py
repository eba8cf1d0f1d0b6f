"""The reader of convex paths: behind the recorded reader's interface, and between its epochs.

Source: MCT, arXiv:2406.19827.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcpipe.data import arrays
from dcpipe.experts.convex import ConvexAnchors, point_at
from dcpipe.experts.trajectory import ParameterLayout


class ConvexTrajectories:
    """Convex paths of one or more shards behind the recorded reader's interface, and between its epochs.

    Raises: UserError if a shard was recorded with another network.
    """

    def __init__(self, paths: Sequence[Path], layout: ParameterLayout) -> None:
        self._experts: list[tuple[ConvexAnchors, Tensor]] = []
        sizes = [int(np.prod(shape)) for _, shape in layout.tensors]
        self._tiles = [(sum(sizes[:index]), size) for index, size in enumerate(sizes)]
        for path in paths:
            layout.refuse_other_network(path)
            epochs = tuple(int(epoch) for epoch in arrays.read(path, "epochs"))
            anchors = torch.from_numpy(arrays.read(path, "anchors"))
            progress = torch.from_numpy(arrays.read(path, "progress"))
            self._experts += [
                (ConvexAnchors(epochs, theta), beta) for theta, beta in zip(anchors, progress, strict=True)
            ]

    @property
    def num_experts(self) -> int:
        """How many experts there are in all shards."""
        return len(self._experts)

    @property
    def last_epoch(self) -> int:
        """Where the paths end."""
        return self._experts[0][0].epochs[-1]

    def at(self, expert: int, time: float) -> Tensor:
        """An expert's parameters (P, float32, CPU) at a time in epochs, fractions allowed."""
        anchors, progress = self._experts[expert]
        return point_at(anchors, progress, self._tiles, time)
