"""What a distillation starts from: a method and everything that its parts are built of."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from dcpipe.data.store import Images, Transform
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.method import Method
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class Setting:
    """One synthetic set to make.

    `network` is the name of the experts' network, or of the one that the matching draws; `trajectories` the stores of
    the experts' shards; `set_index` the number of the set among those of its kind; `state` where a long run is saved
    and taken up again; `name` what progress is shown under; `facts` what the card shall say; `root` the
    project's folder; `transform` what prepared the training images.
    """

    method: Method
    train: Images
    transform: Transform
    ipc: int
    set_index: int
    stream: Stream
    device: torch.device
    state: ResumeState
    name: str
    network: str = ""
    trajectories: tuple[Path, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)
    root: Path = field(default_factory=Path)

    def model(self) -> FlatModel:
        """The network, for the training images."""
        train = self.train
        return build(
            self.network,
            channels=train.channels,
            image_size=train.size,
            classes=train.classes,
            precision=self.method.compute.precision,
        )
