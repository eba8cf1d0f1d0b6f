"""Tiny ImageNet from a folder: wnids.txt, train/<wnid>/images/, and val/ as published or re-arranged by class.

The publisher's val/ is one folder of images with their classes in val_annotations.txt. Many copies have it as
val/<wnid>/ or val/images/<wnid>/ instead; all give the same images under the same labels. A class's label is its
place among the sorted wnids (wnids.txt itself is not sorted), for training and test alike.
"""

from pathlib import Path

from dcpipe.data import image_files, location
from dcpipe.data.bounded_files import read_bounded_text
from dcpipe.data.image_files import ImageFiles, Listing
from dcpipe.data.problems import Problems
from dcpipe.errors import UserError
from dcpipe.params.dataset_facts import DatasetFacts

NAME = "tiny-imagenet"
TRAIN_PER_CLASS, TEST_PER_CLASS = 500, 50
_LAYOUT = "unpack tiny-imagenet-200.zip there"


class TinyImageNet(ImageFiles):
    """Its two parts, compared with the published counts where no digest is given."""

    def require_published_data(self, digest: str) -> None:
        """500 training and 50 test images per class. Raises: UserError."""
        pin = f"or, if this is intended, set source.digest to {digest}"
        for part, count in (("train", TRAIN_PER_CLASS), ("test", TEST_PER_CLASS)):
            image_files.refuse_counts(part, self._parts["train" if part == "train" else "test"], count, count, pin)


def find_tiny_imagenet(facts: DatasetFacts, root: Path) -> TinyImageNet:
    """The set in the data root.

    Raises: UserError naming the folder or file that is not as published.
    """
    place = location.data_path(root, NAME)
    inner = place / "tiny-imagenet-200"  # the name of the folder in the publisher's archive
    place = inner if inner.is_dir() else place
    wnids = _wnids(place, facts.classes)
    problems = Problems()
    train = image_files.listing([_train_folder(place, wnid) for wnid in wnids], wnids, problems)
    test = _list_test_images(place, wnids, problems)
    problems.refuse(_LAYOUT)
    return TinyImageNet({"train": train, "test": test}, facts.channels, facts.image_size, _LAYOUT)


def _wnids(folder: Path, classes: int) -> list[str]:
    path = folder / "wnids.txt"
    if not path.is_file():
        raise UserError("this file does not exist", where=str(path), remedy=_LAYOUT)
    wnids = sorted(set(read_bounded_text(path, _LAYOUT).split()))
    if len(wnids) != classes:
        raise UserError(f"names {len(wnids)} classes; Tiny ImageNet has {classes}", where=str(path), remedy=_LAYOUT)
    return wnids


def _train_folder(dataset_folder: Path, wnid: str) -> Path:
    folder = dataset_folder / "train" / wnid
    inner = folder / "images"  # beside it the publisher has bounding boxes
    return inner if inner.is_dir() else folder


def _list_test_images(dataset_folder: Path, wnids: list[str], problems: Problems) -> Listing:
    for folder in (dataset_folder / "val", dataset_folder / "val" / "images"):
        if (folder / wnids[0]).is_dir():
            inner = [folder / wnid / "images" for wnid in wnids]
            folders = inner if inner[0].is_dir() else [folder / wnid for wnid in wnids]
            return image_files.listing(folders, wnids, problems)
    return _annotated(dataset_folder / "val", wnids, problems)


def _annotated(val: Path, wnids: list[str], problems: Problems) -> Listing:
    path = val / "val_annotations.txt"
    if not path.is_file():
        raise UserError("neither this file nor one folder per class exists", where=str(path), remedy=_LAYOUT)
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    names: list[list[str]] = [[] for _ in wnids]
    there = set(image_files.images_below(val / "images", problems))
    for number, line in enumerate(read_bounded_text(path, _LAYOUT).splitlines(), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in label_of:
            problems.add(path, f"line {number} does not name an image and one of the classes")
        elif name not in there:
            problems.add(val / "images" / name, "has a line in val_annotations.txt, but does not exist")
        else:
            names[label_of[wnid]].append(name)
            there.remove(name)
    for name in sorted(there):
        problems.add(val / "images" / name, f"has no line in {path.name}")
    return image_files.listing_of_names([val / "images"] * len(wnids), wnids, [sorted(members) for members in names])
