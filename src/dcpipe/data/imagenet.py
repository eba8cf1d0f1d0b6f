"""ILSVRC 2012, all of it or some classes, from a local folder: train/<wnid>/*.JPEG and val/<wnid>/*.JPEG.

Only the folders of the chosen classes are needed, so a released subset is enough.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dcpipe.data import image_files, location
from dcpipe.data.image_files import ImageFiles, Listing
from dcpipe.data.problems import Problems
from dcpipe.data.source import PartName
from dcpipe.data.wnids import WNIDS
from dcpipe.errors import UserError
from dcpipe.params.dataset_facts import DatasetFacts

NAME = "imagenet"
TRAIN_PER_CLASS, TEST_PER_CLASS = (732, 1300), (50, 50)
_FOLDERS: tuple[tuple[PartName, str], ...] = (("train", "train"), ("test", "val"))


class ImageNet(ImageFiles):
    """Its two parts, compared with the published counts where no digest is given."""

    def require_published_data(self, digest: str) -> None:
        """732 to 1,300 training and 50 test images per class. Raises: UserError."""
        pin = f"or, if this is intended, set source.digest to {digest}"
        image_files.refuse_counts("train", self._parts["train"], *TRAIN_PER_CLASS, pin)
        image_files.refuse_counts("test", self._parts["test"], *TEST_PER_CLASS, pin)


def find_imagenet(classes: Sequence[int] | Literal["all"], facts: DatasetFacts, root: Path) -> ImageNet:
    """The chosen classes in the data root's ImageNet.

    Raises: UserError naming the first folder that is missing or contains something else.
    """
    place = location.data_path(root, NAME)
    wnids = WNIDS if classes == "all" else tuple(WNIDS[number] for number in classes)
    problems = Problems()
    parts = {name: _part(place / folder, wnids, problems) for name, folder in _FOLDERS}
    remedy = "unpack ILSVRC 2012 so that train/ and val/ have one folder per wnid"
    problems.refuse(remedy)
    return ImageNet(parts, facts.channels, facts.image_size, remedy)


def _part(folder: Path, wnids: tuple[str, ...], problems: Problems) -> Listing:
    there = set(image_files.class_folders(folder))
    if not there and folder.is_dir():
        problem = "has no class folders"
        remedy = "sort its images into one folder per wnid (the publisher's val archive is flat)"
        raise UserError(problem, where=str(folder), remedy=remedy)
    for wnid in wnids:
        if wnid not in there:
            problems.add(folder / wnid, "this folder does not exist")
    present = [wnid for wnid in wnids if wnid in there]
    return image_files.listing([folder / wnid for wnid in present], present, problems)
