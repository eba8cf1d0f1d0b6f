"""A dataset: where the images come from, how they are split and standardised, which network goes with it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.models import names
from dcpipe.params.schema import STRICT, Count, FiniteFloat, Index, Name, PositiveFloat

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""Which bytes a source must hold; preparing it with null says what to write here."""

IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DigitsSource:
    """1,797 handwritten digits, 8x8 grey, from UCI's optical recognition set; they come with scikit-learn."""

    kind: Literal["digits"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TorchvisionSource:
    """A set that torchvision reads, and downloads where it is missing (SVHN without its `extra` part).

    Where it is (see `dcpipe.data.location`) is no param. With `digest` null the files must have the sums that their
    publishers state; a given digest takes the place of those.
    """

    kind: Literal["mnist", "fashion-mnist", "svhn", "cifar10", "cifar100"]
    digest: Digest | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TinyImageNetSource:
    """Tiny ImageNet as it is unpacked from tiny-imagenet-200.zip; its published validation part is the test part."""

    kind: Literal["tiny-imagenet"]
    digest: Digest | None  # null: 500 and 50 images a class, as published


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImageNetSource:
    """Classes of ILSVRC 2012 from train/<wnid>/ and val/<wnid>/; its validation part is the test part.

    `classes` are positions among the 1,000 sorted wnids, as the papers give them; the label of a class is its place
    in this list. Images are squeezed to `image_size` pixels a side, whatever their aspect, as published.
    """

    kind: Literal["imagenet"]
    classes: list[Annotated[int, Field(ge=0, lt=IMAGENET_CLASSES)]] | Literal["all"]
    image_size: Count
    digest: Digest | None  # null: 732 to 1,300 and 50 images a class, as published

    @property
    def num_classes(self) -> int:
        """How many classes are taken."""
        return IMAGENET_CLASSES if self.classes == "all" else len(self.classes)

    @field_validator("classes")
    @classmethod
    def _classes(cls, classes: list[int] | Literal["all"]) -> list[int] | Literal["all"]:
        if classes != "all" and len(classes) < 2:
            raise ValueError("there must be two classes or more")
        twice = sorted({number for number in classes if classes.count(number) > 1}) if classes != "all" else []
        if twice:
            raise ValueError(f"class {twice[0]} is named twice")
        return classes


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FolderSource:
    """Images of your own: a folder a class, or arrays in an .npz file, found under `name` in the data root.

    With `split.test_per_class` null the data has a test part (folders train/ and test/, or arrays train_images,
    train_labels, test_images, test_labels); with a count it is one tree (or images, labels) that is cut.
    What does not fit is fitted: other sizes are squeezed to `image_size` pixels a side, other colours turned into
    `channels`; the card counts both.
    """

    kind: Literal["folder"]
    name: Name
    classes: Annotated[int, Field(ge=2)]
    channels: Literal[1, 3]
    image_size: Count
    digest: Digest | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """Which images are for what. Sources without a test part of their own give `test_per_class` images to test.

    `test_per_class` is null for those that have one, and all of it is used. `validation_per_class` images a class
    are cut from the training part (0: none, as in the papers); `train_per_class` keeps only so many of the rest,
    stratified (null: all). All by the named seed.
    """

    seed: Index
    test_per_class: Count | None
    validation_per_class: Index
    train_per_class: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FromTrain:
    """Mean and standard deviation a channel, measured on the training images."""

    kind: Literal["from-train"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Raw:
    """Pixels in [0, 1] as they are; for datasets that are whitened instead."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Constants:
    """Published mean and standard deviation a channel, in units of [0, 1] pixels."""

    kind: Literal["constants"]
    mean: list[FiniteFloat]
    std: list[PositiveFloat]


Source = Annotated[
    DigitsSource | TorchvisionSource | TinyImageNetSource | ImageNetSource | FolderSource,
    Field(discriminator="kind"),
]
Standardise = Annotated[FromTrain | Constants | Raw, Field(discriminator="kind")]


def check_network(name: str) -> str:
    """A network name in its one spelling; `native` stands for the dataset's own."""
    if name != "native":
        try:
            names.parse(name)
        except UserError as error:
            raise ValueError(str(error)) from error
    return name


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoWhitening:
    """Images are standardised."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Zca:
    """Images are whitened by ZCA with T = U (s + eps)^-1/2 U^T, fitted on train in float64."""

    kind: Literal["zca"]
    eps: PositiveFloat
    threads: Count  # of the decomposition: other numbers of threads give other last bits


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dataset:
    """A params/datasets file."""

    description: str
    source: Source
    split: Split
    standardise: Standardise
    whitening: Annotated[NoWhitening | Zca, Field(discriminator="kind")]
    network: str

    @field_validator("network")
    @classmethod
    def _network(cls, name: str) -> str:
        if name == "native":
            raise ValueError("a dataset must name its network")
        return check_network(name)
