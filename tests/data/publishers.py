"""Real handwritten digits, dressed up in the file formats of the publishers of larger sets.

The CIFAR files are pickles because that is how their publisher made them; nothing here is ever unpickled but by
torchvision. Legend: N images, C channels, H W pixels.
"""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from dcpipe.data.wnids import WNIDS

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
_BUNCH = load_digits()


def digit(label: int, which: int, size: int, channels: int) -> NDArray[np.uint8]:
    """The `which`-th digit of class `label % 10`, enlarged to size x size; channels differ in brightness."""
    rows = np.flatnonzero(_BUNCH.target == label % 10)
    small = _BUNCH.images[rows[which % len(rows)]]
    large = np.kron(small, np.ones((-(-size // 8),) * 2))[:size, :size] * (255 / 16)
    return np.stack([large // (channel + 1) for channel in range(channels)]).astype(np.uint8)


def images(per_class: int, classes: int, size: int, channels: int, first: int = 0) -> Arrays:
    """N x C x H x W and labels, in an order that mixes the classes."""
    labels = np.tile(np.arange(classes, dtype=np.int64), per_class)
    which = np.repeat(np.arange(per_class), classes) + first
    return np.stack([digit(c, k, size, channels) for c, k in zip(labels, which, strict=True)]), labels


def parts(per_class: int, classes: int, size: int, channels: int) -> dict[str, Arrays]:
    """A training part, and a test part of one other image per class."""
    test = images(1, classes, size, channels, first=per_class)
    return {"train": images(per_class, classes, size, channels), "test": test}


def mnist(place: Path, sets: dict[str, Arrays], folder: str = "MNIST") -> None:
    """Four gzipped IDX files."""
    raw = place / folder / "raw"
    raw.mkdir(parents=True)
    for name, (pixels, labels) in (("train", sets["train"]), ("t10k", sets["test"])):
        head = struct.pack(">IIII", 0x803, len(pixels), 28, 28)
        (raw / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
        head = struct.pack(">II", 0x801, len(labels))
        (raw / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.astype(np.uint8).tobytes()))


def fashion_mnist(place: Path, sets: dict[str, Arrays]) -> None:
    """The same format as MNIST."""
    mnist(place, sets, "FashionMNIST")


def svhn(place: Path, sets: dict[str, Arrays]) -> None:
    """MATLAB files with the images last and a ten for the digit 0."""
    place.mkdir(parents=True)
    for name, (pixels, labels) in sets.items():
        tens = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(place / f"{name}_32x32.mat", {"X": pixels.transpose(2, 3, 1, 0), "y": tens})


def cifar10(place: Path, sets: dict[str, Arrays]) -> None:
    """Five training batches and one of test, pickled."""
    folder = place / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels, labels = sets["train"]
    for number, rows in enumerate(np.array_split(np.arange(len(labels)), 5), start=1):
        _pickle(folder / f"data_batch_{number}", data=_flat(pixels[rows]), labels=labels[rows].tolist())
    _pickle(folder / "test_batch", data=_flat(sets["test"][0]), labels=sets["test"][1].tolist())
    _pickle(folder / "batches.meta", label_names=[f"class {c}" for c in range(10)])


def cifar100(place: Path, sets: dict[str, Arrays]) -> None:
    """One pickle a part, with fine and coarse labels."""
    folder = place / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, (pixels, labels) in sets.items():
        coarse = (labels // 5).tolist()
        _pickle(folder / name, data=_flat(pixels), fine_labels=labels.tolist(), coarse_labels=coarse)
    _pickle(folder / "meta", fine_label_names=[f"class {c}" for c in range(100)])


def tiny_imagenet(place: Path, *, per_class: int = 2, arranged: bool = False) -> list[str]:
    """train/<wnid>/images/ and val/, as published or sorted into class folders. Returns the sorted wnids."""
    wnids = list(WNIDS[:200])
    place.mkdir(parents=True)
    (place / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in reversed(wnids)))
    lines = []
    for label, wnid in enumerate(wnids):
        for which in range(per_class):
            save(place / "train" / wnid / "images" / f"{wnid}_{which}.JPEG", digit(label, which, 64, 3))
        (place / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
        name = f"val_{199 - label}.JPEG"
        folder = place / "val" / wnid if arranged else place / "val" / "images"
        save(folder / name, digit(label, per_class, 64, 3))
        lines.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
    if not arranged:
        (place / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return wnids


def imagenet(place: Path, classes: list[int], *, per_class: int = 3) -> None:
    """train/<wnid>/ and val/<wnid>/ with images of odd sizes, one of them grey."""
    for label in classes:
        wnid = WNIDS[label]
        for which in range(per_class):
            pixels = digit(label, which, 40 + which, 1 if which == 0 else 3)[:, :33]
            save(place / "train" / wnid / f"{wnid}_{which}.JPEG", pixels)
        save(place / "val" / wnid / f"ILSVRC2012_val_{label:08d}.JPEG", digit(label, per_class, 48, 3))


def tree(place: Path, classes: list[str], *, per_class: int = 4, size: int = 8, first: int = 0) -> None:
    """A folder a class of colour PNGs."""
    for label, name in enumerate(classes):
        for which in range(per_class):
            save(place / name / f"{which}.png", digit(label, which + first, size, 3))


def save(path: Path, pixels_chw: NDArray[np.uint8]) -> None:
    """An image file, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = pixels_chw[0] if len(pixels_chw) == 1 else pixels_chw.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(shown)).save(path)


def _flat(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels.reshape(len(pixels), -1)


def _pickle(path: Path, **content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))
