"""The synthetic set: what distillation makes and evaluation trains on.

On disk a safetensors file without header metadata (its order would differ between processes): `images`
(N x C x H x W, float32, standardised), `labels` (N, int64, ascending) or `logits` (N x K, float32, whose softmax is
the label; rows ascend by the class that they were made for), and `step_size` (0-d, float64). Where the images are an
average and the method keeps both, `unaveraged_images` are those of the last iteration. A snapshots file stacks the same
tensors over kept iterations, and `iterations` (T).

What is read may be more than what is written here: classes may have different numbers of images, in any order, and a
soft set may have `labels` beside its `logits`: the class that each image was made for. Which method made a set, if that
is known, stands in the card alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance import damage
from dcpipe.random import Stream

UNAVERAGED = "unaveraged_images"  # the tensor's name


@dataclass(frozen=True, slots=True)
class SyntheticSet:
    """Images (N x C x H x W), labels and the step size that goes with them (0-d, float64).

    Labels are hard (N, int64) or logits (N x K, floating), of K classes. `intended_classes_N` are the classes (N,
    int64) that the images of a soft set were made for, where the set says so. `unaveraged_NCHW` are the images of the
    last iteration where `images_NCHW` are an average and the method keeps both.
    """

    images_NCHW: Tensor
    labels: Tensor
    step_size: Tensor
    intended_classes_N: Tensor | None = None
    unaveraged_NCHW: Tensor | None = None

    def to(self, device: torch.device) -> "SyntheticSet":
        """The same set on a device."""
        return SyntheticSet(
            self.images_NCHW.to(device),
            self.labels.to(device),
            self.step_size.to(device),
            None if self.intended_classes_N is None else self.intended_classes_N.to(device),
            None if self.unaveraged_NCHW is None else self.unaveraged_NCHW.to(device),
        )

    @property
    def is_soft(self) -> bool:
        """Whether the labels are logits."""
        return self.labels.is_floating_point()

    @property
    def targets(self) -> Tensor:
        """What a network is trained to say: classes (N), or probabilities (N x K), as PyTorch's cross-entropy asks."""
        return self.labels.softmax(dim=1) if self.is_soft else self.labels

    @property
    def class_labels(self) -> Tensor:
        """The class that each image was made for; soft labels need not agree with it.

        A soft set that does not say has as many images of each class, in the order of the classes; if their number does
        not allow that, a class is what the labels say most of all.
        """
        if not self.is_soft:
            return self.labels
        if self.intended_classes_N is not None:
            return self.intended_classes_N
        count, classes = self.labels.shape
        if count % classes:
            return self.labels.argmax(dim=1)
        return torch.arange(classes, device=self.labels.device).repeat_interleave(count // classes)


def rows_by_class(labels_N: Tensor, classes: int) -> tuple[Tensor, ...]:
    """The rows of each class in ascending order (int64, on the CPU), by one sort of all labels."""
    labels_N = labels_N.cpu()
    counts = torch.bincount(labels_N, minlength=classes)
    return torch.split(torch.argsort(labels_N, stable=True), counts.tolist())


def drawn_rows(rows: Tensor, label: int, ipc: int, stream: Stream) -> Tensor:
    """`ipc` of a class's rows, uniformly without replacement, by a draw named after the class."""
    order = torch.randperm(len(rows), generator=stream.child("class", label).generator())
    return rows[order[:ipc]]


def drawn_class_rows(labels_N: Tensor, label: int, ipc: int, stream: Stream) -> Tensor:
    """`drawn_rows` of one class; for many classes ask `rows_by_class` once."""
    return drawn_rows(torch.nonzero(labels_N.cpu() == label).flatten(), label, ipc, stream)


def real_images(train: Images, ipc: int, stream: Stream) -> tuple[Tensor, Tensor]:
    """Real images (N x C x H x W) and their labels (N), `ipc` of each class, sorted by class."""
    by_class = rows_by_class(train.labels_N, train.classes)
    rows = torch.cat([drawn_rows(rows, label, ipc, stream) for label, rows in enumerate(by_class)])
    rows = rows.to(train.labels_N.device)
    return train.images_NCHW[rows].clone(), train.labels_N[rows].clone()


def noise_images(train: Images, ipc: int, stream: Stream) -> tuple[Tensor, Tensor]:
    """Standard normal images of the same shape, and labels sorted by class (DC's initialisation)."""
    shape = (train.classes * ipc, *train.images_NCHW.shape[1:])
    images = torch.randn(shape, generator=stream.child("noise").generator())
    labels = torch.arange(train.classes).repeat_interleave(ipc)
    return images.to(train.images_NCHW.device), labels.to(train.labels_N.device)


def save(path: Path, synthetic: SyntheticSet) -> None:
    """Write a set."""
    named = {_labels_name(synthetic): synthetic.labels}
    if synthetic.unaveraged_NCHW is not None:
        named[UNAVERAGED] = synthetic.unaveraged_NCHW
    _write(path, {"images": synthetic.images_NCHW, "step_size": synthetic.step_size, **named})


def save_snapshots(path: Path, snapshots: Sequence[tuple[int, SyntheticSet]]) -> None:
    """Write sets of several iterations, stacked."""
    sets = [synthetic for _, synthetic in snapshots]
    tensors = {
        "iterations": torch.tensor([iteration for iteration, _ in snapshots]),
        "images": torch.stack([s.images_NCHW.cpu() for s in sets]),
        _labels_name(sets[0]): torch.stack([s.labels.cpu() for s in sets]),
        "step_size": torch.stack([s.step_size.cpu() for s in sets]),
    }
    unaveraged = [s.unaveraged_NCHW.cpu() for s in sets if s.unaveraged_NCHW is not None]
    if unaveraged:
        tensors[UNAVERAGED] = torch.stack(unaveraged)
    _write(path, tensors)


def _labels_name(synthetic: SyntheticSet) -> str:
    return "logits" if synthetic.is_soft else "labels"


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def load(path: Path, step_size: float | None = None) -> SyntheticSet:
    """Read a set; with this step size where one is stated, which the file then need not hold.

    Raises: CorruptArtifactError if the file is not one.
    """
    tensors = _read(path, ("images",) if step_size is not None else ("images", "step_size"))
    if step_size is not None:
        tensors["step_size"] = torch.tensor(step_size, dtype=torch.float64)
    unaveraged = tensors.get(UNAVERAGED)
    found = SyntheticSet(
        tensors["images"], _labels(tensors), tensors["step_size"], _intended_classes(tensors), unaveraged
    )
    counts = {len(tensor) for tensor in (found.images_NCHW, found.labels, found.class_labels)}
    if len(counts) > 1 or found.images_NCHW.dim() != 4:
        raise _invalid_set_error(path, "its images and labels do not belong together")
    return found


def load_snapshots(path: Path) -> list[tuple[int, SyntheticSet]]:
    """Read the sets of all kept iterations, ascending.

    Raises: CorruptArtifactError if the file holds none.
    """
    tensors = _read(path, ("images", "step_size", "iterations"))
    iterations, made_for = tensors["iterations"].tolist(), _intended_classes(tensors)
    classes = [None] * len(iterations) if made_for is None else list(made_for)
    unaveraged = list(tensors[UNAVERAGED]) if UNAVERAGED in tensors else [None] * len(iterations)
    rows = zip(tensors["images"], _labels(tensors), tensors["step_size"], classes, unaveraged, strict=True)
    return [(iteration, SyntheticSet(*row)) for iteration, row in zip(iterations, rows, strict=True)]


def _labels(tensors: dict[str, Tensor]) -> Tensor:
    return tensors["logits"] if "logits" in tensors else tensors["labels"]


def _intended_classes(tensors: dict[str, Tensor]) -> Tensor | None:
    return tensors.get("labels") if "logits" in tensors else None


def _read(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _invalid_set_error(path, str(error)) from error
    missing = [name for name in names if name not in tensors] + (
        [] if {"labels", "logits"} & tensors.keys() else ["labels"]
    )
    if missing:
        raise _invalid_set_error(path, f"it has no {missing[0]}")
    return tensors


def _invalid_set_error(path: Path, why: str) -> CorruptArtifactError:
    made_here = (path.parent / damage.CARD).is_file()
    remedy = damage.remedy(path) if made_here else "put a safetensors file with images, and labels or logits, there"
    return CorruptArtifactError(f"is not a synthetic set ({why})", where=str(path), remedy=remedy)
