"""A protocol: how networks are trained on a synthetic set and how their accuracy becomes a number."""

from abc import abstractmethod
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.dataclasses import dataclass
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dcpipe.evaluation.start_config import FreshStart
from dcpipe.params.augmentation import FAMILIES, ONE_OF, OPERATIONS, expand_short_form
from dcpipe.params.axis import AxisValue, ValueLocation
from dcpipe.params.compute import TrainingCompute
from dcpipe.params.dataset import Dataset
from dcpipe.params.flatness import FlatnessConfig
from dcpipe.params.network_start import NetworkStartConfig
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import STRICT, Count, Fraction, Index, NonNegativeFloat

if TYPE_CHECKING:
    from dcpipe.evaluation.batch_augmentation import Augment
    from dcpipe.evaluation.protocol import Rates
    from dcpipe.evaluation.selection import SnapshotSelection

FAMILY, OPERATION = (f"({'|'.join(words)})" for words in (FAMILIES, OPERATIONS))
SHORT_FORMS = f"^({FAMILY}(_{FAMILY})*|{ONE_OF}{OPERATION}(-{OPERATION})*)$"  # of an augmentation


@plain_dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What the values of a protocol are checked against."""

    resolved: ResolvedSection
    evaluation: "Evaluation"
    dataset: Dataset


class EvaluationValue(AxisValue, axis="any value of a protocol"):
    """A value on an axis of a protocol."""

    needs_validation: ClassVar[bool] = False  # whether it looks at validation images

    def check(self, location: ValueLocation, context: EvaluationContext) -> None:
        """Refuse a protocol that looks at validation images where there are none. Raises: UserError."""
        if self.needs_validation and context.dataset.split.validation_per_class == 0:
            problem = f"{self.kind} needs validation images and the dataset has none"
            remedy = "use a dataset variant with split.validation_per_class above 0"
            raise location.error("kind", problem, remedy)


class LearningRateConfig(EvaluationValue, axis="evaluation rate"):
    """The learning rate of the first half of training."""

    @property
    def num_candidates(self) -> int:
        """How many rates each network is trained with."""
        return 1

    @property
    def constant_rate(self) -> float | None:
        """The rate that every set has; None where sets have their own."""
        return None

    @property
    @abstractmethod
    def report_text(self) -> str:
        """What a report says of it."""

    @abstractmethod
    def build(self) -> "Rates":
        """The rates that are in question for a set."""


class SnapshotSelectionConfig(EvaluationValue, axis="evaluation selection", shorthand=True):
    """Which of a method's sets is the one that counts."""

    reads_snapshots: ClassVar[bool] = True  # whether it looks at the sets of earlier iterations

    @property
    def reported_as(self) -> str:
        """The name that scores give the rule."""
        return self.kind

    @abstractmethod
    def build(self) -> "SnapshotSelection":
        """What chooses, and measures."""


class AugmentationConfig(EvaluationValue, axis="evaluation augmentation", shorthand=True):
    """What is done to every batch of the synthetic set that a network trains on."""

    mixes_labels: ClassVar[bool] = False  # whether it takes labels as probabilities

    @property
    def dsa_families(self) -> tuple[str, ...] | None:
        """The families of DSA, empty for no augmentation; None for any other kind."""
        return None

    @abstractmethod
    def build(self) -> "Augment":
        """What alters a batch."""

    @classmethod
    def _expand_shorthand(cls, value: object) -> object:
        """Families of DSA joined by _, and DC's operations after `one-of-`, have a short form of their own."""
        if not isinstance(value, str) or value in cls.registry:
            return super()._expand_shorthand(value)
        try:
            return expand_short_form(value)
        except ValueError as error:
            mappings = ", ".join(kind for kind in sorted(cls.registry) if kind != "none")
            raise ValueError(f"{error}, or write a mapping whose kind is one of {mappings}") from error

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The exported schema, with the short forms."""
        found = super().__get_pydantic_json_schema__(core, handler)
        if "anyOf" in found:
            found["anyOf"] = [*found["anyOf"], {"type": "string", "pattern": SHORT_FORMS}]
        return found


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluation:
    """A params/evaluations file.

    `epochs` is E of the published protocols: E + 1 passes are made, and after pass E // 2 + 1 the rate is
    multiplied by `decay` and the optimiser made anew (its momentum starts from zero).
    `side_by_side` networks are trained at once, which alters sums by rounding.
    """

    description: str = Field(description="a line that describes the protocol, for lists")
    seed: Index = Field(description="seed of all its random draws")
    networks: Count = Field(description="fresh networks trained on each set")
    side_by_side: Count = Field(description="of these at once; 1: one after the other")
    epochs: Index = Field(description="E of the published protocols: one pass fewer than are made")
    batch: Count = Field(description="synthetic images per step")
    learning_rate: LearningRateConfig
    labels: Annotated[Literal["own", "hard"], NeutralDefault("own")] = Field(
        description="own: the set's, soft where they are soft; hard: the class that each image was made for"
    )
    augmentation: AugmentationConfig
    sharpness: FlatnessConfig
    start: Annotated[NetworkStartConfig, NeutralDefault(FreshStart(kind="fresh"))]
    decay: Fraction = Field(description="what the rate is multiplied by after pass E // 2 + 1")
    momentum: Fraction = Field(description="momentum: share of the last step that is added to the next one")
    weight_decay: NonNegativeFloat = Field(
        description="weight decay: multiple of the parameters that is added to their gradient"
    )
    selection: SnapshotSelectionConfig
    compute: TrainingCompute
