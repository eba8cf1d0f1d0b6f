"""MNIST, FashionMNIST, SVHN, CIFAR-10 and CIFAR-100, read (and fetched) by torchvision's dataset classes.

Each stands in the data root under its kind, laid out as torchvision lays it out: `mnist/MNIST/raw/*.gz`,
`fashion-mnist/FashionMNIST/raw/*.gz`, `svhn/*.mat`, `cifar10/cifar-10-batches-py/`, `cifar100/cifar-100-python/`.
A data root that is torchvision's own (`MNIST/raw/` in it, and the others side by side) is as good, and so are the files
of MNIST and FashionMNIST in `raw/` or directly in the folder, packed or not.
The CIFAR files are pickles, as their publisher made them: `pickled_arrays` reads them, and runs nothing in them.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcpipe.data import location
from dcpipe.data.bounded_files import refuse_matlab_bomb, unpack_gzip
from dcpipe.data.pickled_arrays import read_pickle
from dcpipe.data.source import Part, PartName, Pixels
from dcpipe.errors import UserError

if TYPE_CHECKING:
    from dcpipe.data.source_config import Torchvision

CIFAR_SIDE = 32

Sums = Mapping[str, str | None]
"""The MD5 that each file (relative to the set's place) must have; None: it need only be there."""

UNPACKED: Mapping[str, Sums] = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""The MD5 of what the publishers' packed files hold, by kind; the publishers state those of the packed files alone."""

_CLASSES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}


def dataset_class(kind: str) -> Any:
    """Torchvision's class for a kind. Raises: UserError if torchvision is not installed."""
    try:
        from torchvision import datasets
    except ImportError as error:
        problem = "is read by torchvision, which is not installed"
        raise UserError(problem, where=kind, remedy="pip install 'dcpipe[images]'") from error
    return getattr(datasets, _CLASSES[kind])


def published_checksums(kind: str) -> Sums:
    """The sums that the publisher's files have, as torchvision states them."""
    cls = dataset_class(kind)
    if kind == "svhn":
        return {row[1]: row[2] for row in (cls.split_list["train"], cls.split_list["test"])}
    if hasattr(cls, "resources"):
        return {f"{cls.__name__}/raw/{name}": md5 for name, md5 in cls.resources}
    rows = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
    return {f"{cls.base_folder}/{name}": md5 for name, md5 in rows}


def with_checksums(kind: str, sums: Sums) -> Any:
    """Torchvision's class, checking these sums instead of the publisher's."""
    cls = dataset_class(kind)
    if kind == "svhn":
        changed = {part: [url, name, sums.get(name)] for part, (url, name, _) in cls.split_list.items()}
        return type(cls.__name__, (cls,), {"split_list": changed})
    if hasattr(cls, "resources"):  # the class compares sums while it downloads, and no later
        resources = [(name, sums[f"{cls.__name__}/raw/{name}"]) for name, _ in cls.resources]
        return type(cls.__name__, (cls,), {"resources": resources})
    lists = {
        key: [[name, sums[f"{cls.base_folder}/{name}"]] for name, _ in getattr(cls, key)]
        for key in ("train_list", "test_list")
    }
    meta = {**cls.meta, "md5": sums[f"{cls.base_folder}/{cls.meta['filename']}"]}
    return type(cls.__name__, (cls,), {**lists, "meta": meta})


class TorchvisionSet:
    """One of the sets at its place, with the sums that its files are compared with.

    Raises: UserError if it is not there and cannot be fetched, or does not unpack.
    """

    def __init__(self, kind: str, folder: Path, sums: Sums, unpacked: Sums | None = None) -> None:
        self._kind, self._place, self._sums = kind, folder, sums
        self._unpacked = UNPACKED.get(kind, {}) if unpacked is None else unpacked
        self._class = with_checksums(kind, sums)
        packed = hasattr(self._class, "resources")
        self._home, self._paths = find_stored_files(kind, folder, sums) or (
            folder,
            {name: folder / name for name in sums},
        )
        if not all(map(_is_stored, self._paths.values())):
            self._fetch()
        self._scratch = tempfile.TemporaryDirectory(prefix="dcpipe-") if packed else None
        if self._scratch is not None:
            self._unpack(Path(self._scratch.name))

    def files(self) -> Iterable[tuple[str, Path]]:
        """The files that are read, unpacked, so that it does not matter whether the packed ones are there too."""
        for name in self._sums:
            inner = name.removesuffix(".gz")
            yield inner, (self._root / inner)

    def require_published_data(self, digest: str) -> None:
        """Compare each file with its sum. Raises: UserError naming the first that differs."""
        from torchvision.datasets.utils import check_integrity

        pin = f"or, if this is intended, set source.digest to {digest}"
        for name, path in self._paths.items():
            there, md5 = path, self._sums[name]
            if not path.is_file():
                there = path.with_suffix("")
                md5 = self._unpacked[there.name]
            if not check_integrity(there, md5):
                problem = f"is not the publisher's file (its MD5 is not {md5})"
                raise UserError(problem, where=str(there), remedy=f"remove it, and it is downloaded again, {pin}")

    def part(self, name: PartName) -> Part:
        """The training or the test part, in memory."""
        if self._kind.startswith("cifar"):
            return self._pickled_part(name)
        if self._kind == "svhn":
            refuse_matlab_bomb(self._paths[self._class.split_list[name][1]], "remove it, and it is downloaded again")
        where = {"split": name} if self._kind == "svhn" else {"train": name == "train"}
        try:
            data = self._class(self._root, **where)
        except ImportError as error:
            problem = "is read by scipy, which is not installed"
            raise UserError(problem, where=self._kind, remedy="pip install 'dcpipe[images]'") from error
        except Exception as error:  # a damaged file can fail in any way inside the libraries
            raise self._read_error(error) from error
        return _part(self._kind, data)

    def _pickled_part(self, name: PartName) -> Part:
        """A part of CIFAR: rows of pixels, all of a channel before the next, and a list of labels a file."""
        lists = self._class.train_list if name == "train" else self._class.test_list
        read = [_read_batch(self._root / self._class.base_folder / file) for file, _ in lists]
        pixels_NCHW = np.concatenate([pixels for pixels, _ in read]).reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
        return Part(np.concatenate([labels for _, labels in read]), lambda rows: pixels_NCHW[rows])

    def card_facts(self) -> dict[str, object]:
        """Nothing to add."""
        return {}

    @property
    def _root(self) -> Path:
        return Path(self._scratch.name) if self._scratch is not None else self._home

    def _fetch(self) -> None:
        """Have torchvision download what is missing into the place."""
        missing = [name for name, path in self._paths.items() if not _is_stored(path)]
        cls = dataset_class(self._kind)
        parts = [{"split": name} for name in ("train", "test")] if self._kind == "svhn" else [{}]
        try:
            for part in parts:
                cls(self._place, download=True, **part)
        except Exception as error:  # no network, no permission, a bad mirror: all end here
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            wanted = ", ".join([cls.filename] if hasattr(cls, "filename") else missing)
            remedy = f"download {wanted} by hand from {_download_url(cls)} and put it there"
            raise UserError(
                f"cannot download {self._kind} ({reason})", where=str(self._place), remedy=remedy
            ) from error

    def _unpack(self, scratch: Path) -> None:
        """Give the class unpacked files without writing into the user's folder."""
        for name, packed in self._paths.items():
            target = scratch / name.removesuffix(".gz")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not packed.is_file():
                target.symlink_to(packed.with_suffix("").resolve())
                continue
            unpack_gzip(packed, target, "remove it, and it is downloaded again")

    def _read_error(self, error: Exception) -> UserError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = f"torchvision cannot read {self._kind} ({reason})"
        return UserError(problem, where=str(self._place), remedy="remove its files, and they are downloaded again")


def find_stored_files(kind: str, dataset_folder: Path, names: Iterable[str]) -> tuple[Path, dict[str, Path]] | None:
    """Where all of a set's files are: the folder that torchvision calls root, and each file; None if nowhere.

    In its own place, beside it (a data root that is torchvision's), or, of files that reach torchvision unpacked, in
    `raw/` or directly in the place.
    """
    named = list(names)
    roots = [dataset_folder, *([dataset_folder.parent] if dataset_folder.name == kind else [])]
    homes = [(root, {name: root / name for name in named}) for root in roots]
    if all(name.endswith(".gz") for name in named):
        homes += [
            (folder, {name: folder / Path(name).name for name in named})
            for folder in (dataset_folder / "raw", dataset_folder)
        ]
    return next((home for home in homes if all(map(_is_stored, home[1].values()))), None)


def _is_stored(path: Path) -> bool:
    """Whether a file is there, packed or unpacked."""
    return path.is_file() or (path.suffix == ".gz" and path.with_suffix("").is_file())


def find_torchvision_set(source: "Torchvision", root: Path) -> TorchvisionSet:
    """The set in the data root; a digest in the params stands in for the publisher's sums.

    Raises: UserError if it is not there and cannot be fetched.
    """
    sums = published_checksums(source.kind)
    if source.digest is not None:
        sums = dict.fromkeys(sums)
    return TorchvisionSet(source.kind, location.data_path(root, source.kind), sums)


def _part(kind: str, data: Any) -> Part:
    labels_N = np.asarray(data.labels if kind == "svhn" else data.targets, dtype=np.int64)
    pixels = np.asarray(data.data)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    return Part(labels_N, lambda rows: np.ascontiguousarray(pixels[rows], dtype=np.uint8))


def _read_batch(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Pixels (N x 3072) and labels (N) of one of CIFAR's files. Raises: UserError if it holds anything else."""
    remedy = "remove it, and it is downloaded again"
    batch = read_pickle(path, remedy)
    found = batch if isinstance(batch, dict) else {}
    pixels, labels = found.get("data"), found.get("labels", found.get("fine_labels"))
    row = 3 * CIFAR_SIDE**2
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != row:
        raise UserError(f"has no array data of N x {row} bytes", where=str(path), remedy=remedy)
    if not isinstance(labels, list) or len(labels) != len(pixels) or not all(isinstance(one, int) for one in labels):
        raise UserError("does not have one label per image", where=str(path), remedy=remedy)
    return pixels, np.asarray(labels, dtype=np.int64)


def _download_url(cls: Any) -> str:
    """Where torchvision fetches a set from."""
    if hasattr(cls, "mirrors"):
        return str(cls.mirrors[0])
    return str(cls.url if hasattr(cls, "url") else cls.split_list["train"][0].rpartition("/")[0])
