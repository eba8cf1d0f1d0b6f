"""Augmentations of evaluation."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dcpipe.params.augmentation import check, check_operations
from dcpipe.params.axis import Example
from dcpipe.params.evaluation import AugmentationConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.evaluation.batch_augmentation import Augment

OWN = ("dcpipe.evaluation.batch_augmentation",)
DCS = ("dcpipe.evaluation.dc_augmentation",)
TORCHVISION = ("dcpipe.evaluation.torchvision_augmentation",)
Alpha = Annotated[  # beyond these the sampler of single precision gives a half alone
    float, Field(ge=0.01, le=100, description="both parameters of the Beta distribution that the weight is drawn of")
]


def _refuse_none(families: str) -> str:
    if families == "none":
        raise ValueError("is none; name a family, or write augmentation: none")
    return families


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NoAugmentation(AugmentationConfig):
    """Images as they are."""

    implementation = OWN

    kind: Literal["none"]

    @property
    def dsa_families(self) -> tuple[str, ...]:
        """None."""
        return ()

    def build(self) -> "Augment":
        """What leaves them alone."""
        from dcpipe.evaluation import batch_augmentation

        return batch_augmentation.unaltered

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"none": Example({"kind": "none"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dsa(AugmentationConfig):
    """One of DSA's families a batch, every image its own parameters; in short, the families alone."""

    implementation = OWN

    kind: Literal["dsa"]
    families: Annotated[str, AfterValidator(check), AfterValidator(_refuse_none)] = Field(
        description="families joined by _, such as color_crop_flip"
    )

    @property
    def dsa_families(self) -> tuple[str, ...]:
        """They."""
        return tuple(self.families.split("_"))

    def build(self) -> "Augment":
        """DSA's."""
        from dcpipe.data.augment import parse_strategy
        from dcpipe.evaluation import batch_augmentation

        return partial(batch_augmentation.by_dsa, families=parse_strategy(self.families))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two families."""
        return {"dsa": Example({"kind": "dsa", "families": "crop_flip"}, changes={"families": "cutout"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneOf(AugmentationConfig):
    """One of DC's operations for each image; in short, one-of-crop-scale-rotate."""

    implementation = DCS

    kind: Literal["one-of"]
    operations: Annotated[list[Literal["crop", "scale", "rotate", "noise"]], AfterValidator(check_operations)] = Field(
        description="the operations that each image's is drawn of"
    )

    def build(self) -> "Augment":
        """DC's."""
        from dcpipe.evaluation import dc_augmentation

        return partial(dc_augmentation.by_dc, operations=tuple(self.operations))

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Two operations."""
        example = Example({"kind": "one-of", "operations": ["crop", "scale"]}, changes={"operations": ["rotate"]})
        return {"one-of": example}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mixup(AugmentationConfig):
    """Images and labels are mixed with those of another image of the batch."""

    implementation = TORCHVISION
    mixes_labels = True

    kind: Literal["mixup"]
    alpha: Alpha

    def build(self) -> "Augment":
        """torchvision's."""
        from dcpipe.evaluation import torchvision_augmentation

        return torchvision_augmentation.mixup(self.alpha)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Weights that are uniform."""
        return {"mixup": Example({"kind": "mixup", "alpha": 1.0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cutmix(AugmentationConfig):
    """A window of another image of the batch takes the place of an image's own; labels are mixed by its area."""

    implementation = TORCHVISION
    mixes_labels = True

    kind: Literal["cutmix"]
    alpha: Alpha

    def build(self) -> "Augment":
        """torchvision's."""
        from dcpipe.evaluation import torchvision_augmentation

        return torchvision_augmentation.cutmix(self.alpha)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Areas that are uniform."""
        return {"cutmix": Example({"kind": "cutmix", "alpha": 1.0})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AutoAugment(AugmentationConfig):
    """Two operations for each image, of a policy that was learned on a dataset."""

    implementation = TORCHVISION

    kind: Literal["auto-augment"]
    policy: Literal["imagenet", "cifar10", "svhn"] = Field(description="the dataset that the policy was learned on")

    def build(self) -> "Augment":
        """torchvision's."""
        from dcpipe.evaluation import torchvision_augmentation

        return torchvision_augmentation.auto_augment(self.policy)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A policy."""
        return {"auto-augment": Example({"kind": "auto-augment", "policy": "cifar10"}, changes={"policy": "svhn"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandAugment(AugmentationConfig):
    """Some operations for each image, drawn uniformly, all of one magnitude."""

    implementation = TORCHVISION

    kind: Literal["rand-augment"]
    operations: Annotated[int, Field(ge=1, le=14)] = Field(description="how many operations each image goes through")
    magnitude: Annotated[int, Field(ge=0, le=30)] = Field(description="how strong they are, of 0 to 30")

    def build(self) -> "Augment":
        """torchvision's."""
        from dcpipe.evaluation import torchvision_augmentation

        return torchvision_augmentation.rand_augment(self.operations, self.magnitude)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The usual values of torchvision."""
        return {"rand-augment": Example({"kind": "rand-augment", "operations": 2, "magnitude": 9})}
