"""A dataset: where the images come from, how they are split and standardised, which network goes with it."""

from abc import abstractmethod
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import AxisValue, ValueLocation
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.network_name import check_network
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import STRICT, Count, Index

if TYPE_CHECKING:
    from dcpipe.data.source import Source
    from dcpipe.data.store import Moments, Standardisation
    from dcpipe.data.whitening import Fit

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""Which bytes a source must hold; preparing it with null says what to write here."""


@plain_dataclass(frozen=True, slots=True)
class DatasetContext:
    """What the values of a dataset are checked against."""

    resolved: ResolvedSection
    dataset: "Dataset"
    facts: DatasetFacts


class DatasetValue(AxisValue, axis="any value of a dataset"):
    """A value on an axis of a dataset."""

    def check(self, location: ValueLocation, context: DatasetContext) -> None:
        """Refuse knobs that are impossible or without effect here. Raises: UserError naming file and key."""


class SourceConfig(DatasetValue, axis="source"):
    """Where the images come from."""

    @property
    def pinned_digest(self) -> str | None:
        """Which bytes it must hold; None where its publisher says so, or nobody does."""
        return None

    @property
    def folder(self) -> str | None:
        """Its name in the data root; None where it comes inside a package."""
        return self.kind

    @abstractmethod
    def facts(self, split: "Split") -> DatasetFacts:
        """What is known of the images before any is read."""

    @property
    @abstractmethod
    def num_test_images(self) -> int | None:
        """How many images its own test part has; None where it has none, or only reading tells."""

    def is_at(self, folder: Path) -> bool:
        """Whether something is at its place in the data root; what it is, only preparing tells."""
        return folder.exists() or folder.with_name(f"{folder.name}.npz").exists()

    @abstractmethod
    def open(self, facts: DatasetFacts, root: Path) -> "Source":
        """Find it in the data root; nothing is read yet. Raises: UserError naming what is missing."""


class StandardiseConfig(DatasetValue, axis="standardisation"):
    """How pixels are standardised when they are loaded."""

    @abstractmethod
    def build(self, train: "Moments") -> "Standardisation":
        """Mean and deviation per channel, given those of the training images."""


class WhiteningConfig(DatasetValue, axis="whitening"):
    """Whether and how images are whitened."""

    @property
    def fit_threads(self) -> int | None:
        """Numeric threads of the fit; None where nothing is fitted."""
        return None

    @abstractmethod
    def build(self) -> "Fit":
        """What fits the whitening on training images."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Split:
    """Which images are for what. Sources without a test part of their own give `test_per_class` images to test.

    `test_per_class` is null for those that have one, and all of it is used; with 0 nothing can be scored.
    `validation_per_class` images per class are cut from the training part (0: none, as in the papers);
    `train_per_class` keeps only so many of the rest, stratified (null: all). All by the named seed.
    """

    seed: Index = Field(description="seed of the draw")
    test_per_class: Index | None = Field(
        description="test images of each class, 0: none; null: the source's own test part"
    )
    validation_per_class: Index = Field(description="images of each class cut from the training part; 0: none")
    train_per_class: Count | None = Field(description="images of each class that are kept; null: all that are left")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dataset:
    """A params/datasets file."""

    description: str = Field(description="a line that describes the dataset, for lists")
    source: SourceConfig
    split: Split
    standardise: StandardiseConfig
    whitening: WhiteningConfig
    network: str = Field(description="the network that goes with it; experiments call it native")

    @field_validator("network")
    @classmethod
    def _check_network(cls, name: str) -> str:
        if name == "native":
            raise ValueError("native means the dataset's own network: write its name, such as convnet3")
        return check_network(name)

    @property
    def facts(self) -> DatasetFacts:
        """What is known of the images before any is read."""
        return self.source.facts(self.split)

    @property
    def train_images_per_class(self) -> int | None:
        """How many images of the rarest class are left to train on; None where only reading the source tells."""
        split, smallest = self.split, self.facts.smallest_class
        left = None if smallest is None else smallest - (split.test_per_class or 0) - split.validation_per_class
        return min((count for count in (split.train_per_class, left) if count is not None), default=None)
