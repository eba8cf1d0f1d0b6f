"""A preset's matching on the tiny dataset, outside the loop, in float64, for the laws of what it answers.

Legend: N images, C channels, H W pixels.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet, real_images
from dcpipe.params.method import Method
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph


@dataclass(frozen=True)
class Matched:
    """A matching, the training part that it draws from, and a set of real images to match."""

    matching: Any
    train: Images
    synthetic: SyntheticSet

    def begin(self, iteration: int = 0) -> Any:
        """The first episode of an iteration."""
        return self.matching.draw_episode(iteration, len(self.synthetic.labels))

    def loss(self, images_NCHW: Tensor, episode: Any) -> float:
        """The matching loss of the set with other images."""
        return float(
            replace(episode, matching=self.matching).evaluate(replace(self.synthetic, images_NCHW=images_NCHW)).loss
        )


def matched(root: Path, method: str, ipc: int = 2, *, classes: int = 10, **changes: Any) -> Matched:
    """A preset's matching as resolved for tiny, with other values of its params.

    With fewer `classes` than ten the training part has only the first ones.
    """
    job = Graph(root).make_job("distill", dataset="tiny", method=method, ipc=ipc, set=0)
    preset = job.sections["method"]
    assert isinstance(preset, Method)
    preset = replace(preset, matching=replace(preset.matching, **changes))
    named = preset.matching.network_name
    network = str(job.sections["network"]) if named in (None, "native") else str(named)
    found = store.load(root / job.input("train"), "train")
    kept = found.labels_N < classes
    train = Images(found.images_NCHW[kept].double(), found.labels_N[kept], classes)
    setting = Setting(
        preset,
        train,
        store.load_transform(root / job.input("train")),
        ipc=ipc,
        set_index=0,
        stream=Stream.root(0, "law"),
        device=torch.device("cpu"),
        state=ResumeState(root / "state"),
        name=job.name,
        network=network,
        trajectories=tuple(root / path for path in job.inputs.get("trajectories", ())),
    )
    matching = preset.matching.build(setting)
    images, labels = real_images(train, ipc, Stream.root(0, "set"))
    return Matched(matching, train, SyntheticSet(images, labels, torch.tensor(0.01, dtype=torch.float64)))


def slope(case: Matched, episode: Any, way_NCHW: Tensor, *, step: float = 1e-5) -> float:
    """The central difference of the loss along a way through the images."""
    images = case.synthetic.images_NCHW
    return (case.loss(images + step * way_NCHW, episode) - case.loss(images - step * way_NCHW, episode)) / (2 * step)
