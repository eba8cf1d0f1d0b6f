"""Trajectories on disk: the parameters of experts after chosen epochs, in Zarr, two chunks read a segment.

One store a shard of experts: `theta` (experts x kept epochs x P, float32; one shard file per expert, one chunk a
checkpoint), `epochs` (the kept ones), and what was logged of every epoch: `losses` (experts x epochs),
`accuracies` (experts x (epochs + 1), in percent, of at most 10,000 images of train or val, never of test) and
`lengths` (experts x epochs x tensors: how far each tensor moved, which is all that a convex path needs of an epoch
that is not kept).

Networks with batch norm have `statistics` too (experts x kept epochs x S, float32): the running means and variances
that the logged accuracies were measured with. They are no parameters: no distance counts them, students do not start
from them (those use their own batches'), and published files have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import zarr
from torch import Tensor

from dcpipe.data import arrays
from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.models.flat import TensorSpec
from dcpipe.provenance import damage


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """How a parameter vector is divided: the network's name and its tensors in order."""

    network: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def from_specs(cls, network: str, specs: Sequence[TensorSpec]) -> "ParameterLayout":
        """The layout of a flat model."""
        return cls(network, tuple((spec.name, tuple(spec.shape)) for spec in specs))

    @classmethod
    def read(cls, path: Path) -> "ParameterLayout":
        """The layout that a store of trajectories or of convex paths was written with.

        Raises: CorruptArtifactError if the store states none.
        """
        stored = arrays.attributes(path)
        tensors = tuple((one["name"].text(), one["shape"].integers()) for one in stored["layout"].elements())
        return cls(stored["network"].text(), tensors)

    def refuse_other_network(self, path: Path) -> None:
        """Raises: UserError if a store was recorded with another network or another layout of its parameters."""
        stored = ParameterLayout.read(path)
        if stored != self:
            problem = f"was recorded with {stored.network}, not with the parameters of {self.network} on this dataset"
            raise UserError(problem, where=str(path), remedy="make these experts again")


@dataclass(frozen=True, slots=True)
class Recording:
    """One expert's record: checkpoints (kept epochs x P), losses (epochs), accuracies (epochs + 1), lengths."""

    theta_EP: Tensor
    losses: list[float]
    accuracies: list[float]
    lengths: list[list[float]]
    statistics_ES: Tensor | None = None  # of batch norms (kept epochs x S); None: no batch norm, or not recorded


def write(
    path: Path,
    recordings: Sequence[Recording],
    *,
    epochs: Sequence[int],
    layout: ParameterLayout,
    codec: arrays.Codec,
    level: int,
) -> None:
    """Write a shard of experts, whole."""
    count, num_params = len(recordings), recordings[0].theta_EP.shape[1]
    tensors = [{"name": name, "shape": list(shape)} for name, shape in layout.tensors]
    zarr.create_group(str(path), zarr_format=3, attributes={"network": layout.network, "layout": tensors})
    theta = arrays.create(
        path,
        "theta",
        (count, len(epochs), num_params),
        "float32",
        chunks=(1, 1, num_params),
        shards=(1, len(epochs), num_params),
        codec=codec,
        level=level,
    )
    for row, recording in enumerate(recordings):
        theta[row : row + 1] = recording.theta_EP.numpy()[None]
    arrays.write_rows(path, "epochs", np.asarray(epochs, dtype=np.int64), chunk_rows=len(epochs))
    known = [recording.statistics_ES for recording in recordings if recording.statistics_ES is not None]
    if known:
        arrays.write_rows(path, "statistics", torch.stack(known).numpy(), chunk_rows=1)
    for name in ("losses", "accuracies", "lengths"):
        table = np.asarray([getattr(recording, name) for recording in recordings], dtype=np.float64)
        arrays.write_rows(path, name, table, chunk_rows=count)


class ExpertTrajectories(Protocol):
    """Experts behind one index, recorded or convex; `last_epoch` is the last that can be asked for."""

    @property
    def num_experts(self) -> int: ...

    @property
    def last_epoch(self) -> int: ...

    def at(self, expert: int, time: float) -> Tensor:
        """An expert's parameters (P, float32, CPU) at a time in epochs; only some paths allow fractions."""
        ...


class FirstExperts:
    """The first experts of a path, behind the same interface."""

    def __init__(self, path: ExpertTrajectories, count: int) -> None:
        self._path, self._count = path, count

    @property
    def num_experts(self) -> int:
        """How many of them are read."""
        return self._count

    @property
    def last_epoch(self) -> int:
        """The path's."""
        return self._path.last_epoch

    def at(self, expert: int, time: float) -> Tensor:
        """The path's."""
        return self._path.at(expert, time)


class RecordedTrajectories:
    """Experts of one or more shards behind one index; only the chunks asked for are read.

    Raises: UserError if the shards do not fit together or were recorded with another network.
    """

    def __init__(self, paths: Sequence[Path], layout: ParameterLayout) -> None:
        self._places: list[tuple[Path, int]] = []
        self._row_of: dict[int, int] = {}
        for path in paths:
            self._add_shard(path, layout)

    def _add_shard(self, path: Path, layout: ParameterLayout) -> None:
        layout.refuse_other_network(path)
        rows = {int(epoch): row for row, epoch in enumerate(arrays.read(path, "epochs"))}
        if self._row_of and rows != self._row_of:
            raise UserError(
                "its epochs differ from those of the first shard", where=str(path), remedy="make these experts again"
            )
        self._row_of = rows
        count = int(arrays.read(path, "losses").shape[0])
        self._places += [(path, row) for row in range(count)]

    @property
    def num_experts(self) -> int:
        """How many experts there are in all shards."""
        return len(self._places)

    @property
    def last_epoch(self) -> int:
        """The last epoch that was kept."""
        return max(self._row_of)

    def at(self, expert: int, time: float) -> Tensor:
        """An expert's parameters (P, float32, CPU) after an epoch (a whole number); epoch 0 is before any training.

        Raises: UserError if the epoch was not kept, CorruptArtifactError if the checkpoint is missing: both
        would read as zeros.
        """
        return self._read("theta", expert, time)

    def statistics_at(self, expert: int, epoch: int) -> Tensor:
        """The running statistics (S, float32, CPU) of an expert's batch norms after an epoch.

        Raises: as `at`; UserError too if none were recorded.
        """
        path, _ = self._places[expert]
        if not (path / "statistics").is_dir():
            problem = "has no running statistics; published files have none"
            raise UserError(problem, where=str(path), remedy="train these experts here")
        return self._read("statistics", expert, epoch)

    def _read(self, name: str, expert: int, epoch: float) -> Tensor:
        path, row = self._places[expert]
        if epoch not in self._row_of:
            kept = ", ".join(map(str, sorted(self._row_of)))
            raise UserError(
                f"epoch {epoch} was not kept (kept: {kept})", where=str(path), remedy="add it to kept_epochs"
            )
        values = arrays.read(path, name, (row, self._row_of[int(epoch)], slice(None)))
        if not values.any():  # only a shard that was deleted after it was opened reads as zeros
            problem = f"the checkpoint of expert {row} at epoch {epoch} is missing"
            raise CorruptArtifactError(problem, where=str(path), remedy=damage.remedy(path))
        return torch.from_numpy(values)
