"""Images as a person has them in hand: scikit-learn's digits as tensors."""

from pathlib import Path

import torch
from torch import Tensor

from dcpipe.api.workspace import Workspace
from dcpipe.data.digits import load_digits

QUICK = {"outer.iterations": 20, "outer.snapshot_every": 20}


def workspace(folder: Path) -> Path:
    """A workspace with a protocol of its own, `quick`: two networks of 20 epochs."""
    Workspace.open(folder)
    quick = "base: digits\ndescription: Two networks of twenty epochs.\nnetworks: 2\nepochs: 20\n"
    (folder / "params/evaluations/quick.yaml").write_text(quick)
    return folder


def digits() -> tuple[Tensor, Tensor]:
    """Images (N x 1 x 8 x 8, uint8) and labels (N)."""
    images, labels = load_digits()
    return torch.from_numpy(images), torch.from_numpy(labels)


def train() -> tuple[Tensor, Tensor]:
    """300 of them."""
    images, labels = digits()
    return images[:300], labels[:300]


def test() -> tuple[Tensor, Tensor]:
    """300 others."""
    images, labels = digits()
    return images[-300:], labels[-300:]
