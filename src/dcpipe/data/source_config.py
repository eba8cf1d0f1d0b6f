"""Sources of images: those that come in a package, published ones, and your own folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.dataset import Digest, SourceConfig, Split
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.schema import STRICT, ClassCount, ImageSide, Name

if TYPE_CHECKING:
    from dcpipe.data.source import Source

IMAGENET_CLASSES = 1000
PUBLISHED = "digest of the files; null: the files must have the MD5 sums that their publisher states"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Digits(SourceConfig):
    """1,797 handwritten digits, 8x8 grey, from UCI's optical recognition set; they come with scikit-learn."""

    implementation = ("dcpipe.data.digits",)

    kind: Literal["digits"]

    @property
    def folder(self) -> str | None:
        """None: they come inside a package."""
        return None

    def facts(self, _split: Split) -> DatasetFacts:
        """Ten classes."""
        return DatasetFacts(classes=10, channels=1, image_size=8, smallest_class=174, has_test_part=False)

    @property
    def num_test_images(self) -> int | None:
        """None of its own."""
        return None

    def open(self, _facts: DatasetFacts, _root: Path) -> "Source":
        """From scikit-learn."""
        from dcpipe.data.digits import DigitsOfScikitLearn

        return DigitsOfScikitLearn()

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"digits": Example({"kind": "digits"})}


TORCHVISION = {
    "mnist": DatasetFacts(classes=10, channels=1, image_size=28, smallest_class=5421, has_test_part=True),  # the fives
    "fashion-mnist": DatasetFacts(classes=10, channels=1, image_size=28, smallest_class=6000, has_test_part=True),
    "svhn": DatasetFacts(classes=10, channels=3, image_size=32, smallest_class=4659, has_test_part=True),  # the nines
    "cifar10": DatasetFacts(classes=10, channels=3, image_size=32, smallest_class=5000, has_test_part=True),
    "cifar100": DatasetFacts(classes=100, channels=3, image_size=32, smallest_class=500, has_test_part=True),
}
TEST_IMAGES = {"svhn": 26_032}  # the others have 10,000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Torchvision(SourceConfig):
    """A set that torchvision reads, and downloads where it is missing (SVHN without its `extra` part).

    Where it is (see `dcpipe.data.location`) is no param.
    """

    implementation = ("dcpipe.data.torchvision_sets",)

    kind: Literal["mnist", "fashion-mnist", "svhn", "cifar10", "cifar100"]
    digest: Digest | None = Field(description=PUBLISHED)

    @property
    def pinned_digest(self) -> str | None:
        """The digest."""
        return self.digest

    def facts(self, _split: Split) -> DatasetFacts:
        """As published."""
        return TORCHVISION[self.kind]

    @property
    def num_test_images(self) -> int | None:
        """As published."""
        return TEST_IMAGES.get(self.kind, 10_000)

    def is_at(self, folder: Path) -> bool:
        """Also where torchvision itself would have put it."""
        if super().is_at(folder):
            return True
        from dcpipe.data import torchvision_sets

        names = torchvision_sets.published_checksums(self.kind)
        return torchvision_sets.find_stored_files(self.kind, folder, names) is not None

    def open(self, _facts: DatasetFacts, root: Path) -> "Source":
        """In the data root, or fetched."""
        from dcpipe.data import torchvision_sets

        return torchvision_sets.find_torchvision_set(self, root)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Without a digest."""
        return {kind: Example({"kind": kind, "digest": None}) for kind in TORCHVISION}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TinyImageNet(SourceConfig):
    """Tiny ImageNet as it is unpacked from tiny-imagenet-200.zip; its published validation part is the test part."""

    implementation = ("dcpipe.data.tiny_imagenet",)

    kind: Literal["tiny-imagenet"]
    digest: Digest | None = Field(description="digest of the files; null: 500 and 50 images per class, as published")

    @property
    def pinned_digest(self) -> str | None:
        """The digest."""
        return self.digest

    def facts(self, _split: Split) -> DatasetFacts:
        """As published."""
        return DatasetFacts(classes=200, channels=3, image_size=64, smallest_class=500, has_test_part=True, minutes=60)

    @property
    def num_test_images(self) -> int | None:
        """As published."""
        return 10_000

    def open(self, facts: DatasetFacts, root: Path) -> "Source":
        """In the data root."""
        from dcpipe.data import tiny_imagenet

        return tiny_imagenet.find_tiny_imagenet(facts, root)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Without a digest."""
        return {"tiny-imagenet": Example({"kind": "tiny-imagenet", "digest": None})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImageNet(SourceConfig):
    """Classes of ILSVRC 2012 from train/<wnid>/ and val/<wnid>/; its validation part is the test part.

    `classes` are positions among the 1,000 sorted wnids, as the papers give them; the label of a class is its place
    in this list. Images are resized to `image_size` pixels per side, whatever their aspect ratio, as published.
    """

    implementation = ("dcpipe.data.imagenet",)

    kind: Literal["imagenet"]
    classes: list[Annotated[int, Field(ge=0, lt=IMAGENET_CLASSES)]] | Literal["all"] = Field(
        description="places among the 1,000 sorted wnids, or all"
    )
    image_size: ImageSide = Field(description="pixels per side")
    digest: Digest | None = Field(description="digest of the files; null: 732 to 1,300 and 50 a class, as published")

    @field_validator("classes")
    @classmethod
    def _refuse_repeated_classes(cls, classes: list[int] | Literal["all"]) -> list[int] | Literal["all"]:
        if classes != "all" and len(classes) < 2:
            raise ValueError("name at least two classes")
        twice = sorted({number for number in classes if classes.count(number) > 1}) if classes != "all" else []
        if twice:
            raise ValueError(f"class {twice[0]} is named twice")
        return classes

    @property
    def num_classes(self) -> int:
        """How many classes are taken."""
        return IMAGENET_CLASSES if self.classes == "all" else len(self.classes)

    @property
    def pinned_digest(self) -> str | None:
        """The digest."""
        return self.digest

    def facts(self, _split: Split) -> DatasetFacts:
        """As published: ILSVRC 2012 has 732 to 1,300 training images per class."""
        every = self.classes == "all"
        return DatasetFacts(
            classes=self.num_classes,
            channels=3,
            image_size=self.image_size,
            smallest_class=732 if every else 1300,
            has_test_part=True,
            minutes=1440 if every else 120,
        )

    @property
    def num_test_images(self) -> int | None:
        """50 a class."""
        return 50 * self.num_classes

    def open(self, facts: DatasetFacts, root: Path) -> "Source":
        """In the data root."""
        from dcpipe.data import imagenet

        return imagenet.find_imagenet(self.classes, facts, root)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two classes."""
        return {"imagenet": Example({"kind": "imagenet", "classes": [0, 1], "image_size": 32, "digest": None})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder(SourceConfig):
    """Your own images: one folder per class, or arrays in an .npz file, found under `name` in the data root.

    With `split.test_per_class` null the data has a test part (folders train/ and test/, or arrays train_images,
    train_labels, test_images, test_labels); with a count the test images are taken from one tree (or images, labels).
    Other sizes are resized to `image_size` pixels per side, other colours are converted
    to `channels`; the card counts both.
    """

    implementation = ("dcpipe.data.folder",)

    kind: Literal["folder"]
    name: Name = Field(description="the folder, or the .npz file without its ending, in the data root")
    classes: ClassCount = Field(description="how many classes there are")
    channels: Literal[1, 3] = Field(description="1: grey, 3: colour")
    image_size: ImageSide = Field(description="pixels per side")
    digest: Digest | None = Field(description="digest of the files; null: any")

    @property
    def pinned_digest(self) -> str | None:
        """The digest."""
        return self.digest

    @property
    def folder(self) -> str | None:
        """The name."""
        return self.name

    def facts(self, split: Split) -> DatasetFacts:
        """What the params say."""
        return DatasetFacts(
            classes=self.classes,
            channels=self.channels,
            image_size=self.image_size,
            smallest_class=None,
            has_test_part=split.test_per_class is None,
            minutes=240,
        )

    @property
    def num_test_images(self) -> int | None:
        """An estimate: as many as CIFAR-10 has."""
        return 10_000

    def open(self, facts: DatasetFacts, root: Path) -> "Source":
        """In the data root."""
        from dcpipe.data import folder

        return folder.find_folder(self.name, facts, root)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two classes in grey."""
        tree = {"kind": "folder", "name": "mine", "classes": 2, "channels": 1, "image_size": 8, "digest": None}
        return {"folder": Example(tree)}
