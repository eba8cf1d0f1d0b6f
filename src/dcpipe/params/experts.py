"""Experts: networks trained on the real data, whose parameters are recorded after every epoch."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.augmentation import Augmentation
from dcpipe.params.axis import AxisValue, ValueLocation
from dcpipe.params.compute import TrainingCompute
from dcpipe.params.flatness import FlatnessConfig
from dcpipe.params.network_name import NetworkOrNative
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import STRICT, Count, Fraction, Index, JobCount, NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    from dcpipe.workflow.task import Task

CLASSIFIED_AFTER_AN_EPOCH = 10_000  # images, spread evenly over val or train: as many as CIFAR has for testing
CLASSIFIED_AT_A_POINT = 1_000  # of a convex path, of the same part


@plain_dataclass(frozen=True, slots=True)
class ExpertsContext:
    """What the values of an experts file are checked against."""

    resolved: ResolvedSection
    experts: "Experts"


class ExpertsValue(AxisValue, axis="any value of experts"):
    """A value on an axis of experts."""

    def check(self, location: ValueLocation, context: ExpertsContext) -> None:
        """Refuse knobs that are impossible or without effect here. Raises: UserError naming file and key."""


class OriginConfig(ExpertsValue, axis="expert origin"):
    """Where experts come from."""

    @property
    def pinned_digest(self) -> str | None:
        """Of the published files; None where they are trained here."""
        return None

    @property
    def is_foreign(self) -> bool:
        """Whether others trained them, so that running statistics and losses are unknown."""
        return False

    @abstractmethod
    def build(self) -> "Callable[[Task], None]":
        """What makes a shard."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Store:
    """How trajectories are written. Lossless codecs only; `level` belongs to the codec."""

    codec: Literal["none", "zstd", "blosc-bitshuffle-zstd"] = Field(description="compression, always lossless")
    level: Annotated[int, Field(ge=0, le=9)] = Field(description="of the codec; 0 without one")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Experts:
    """A params/experts file. `count` experts in shards of `shard_experts`, one job per shard."""

    description: str = Field(description="a line that describes the experts, for lists")
    origin: OriginConfig
    seed: Index = Field(description="seed of all their random draws")
    network: NetworkOrNative = Field(description="the network that is trained; native: the dataset's own")
    count: JobCount = Field(description="experts, a multiple of shard_experts")
    shard_experts: Count = Field(description="experts that one job makes")
    epochs: Count = Field(description="epochs of training")
    kept_epochs: Annotated[str, Field(pattern=r"^(all|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)$")] = Field(
        description="epochs whose parameters are kept, as in 0-6,10, or all; 0 is the start"
    )
    batch: Count = Field(description="real images per step")
    learning_rate: PositiveFloat = Field(description="step size of SGD")
    momentum: Fraction = Field(description="momentum: share of the last step that is added to the next one")
    weight_decay: NonNegativeFloat = Field(
        description="weight decay: multiple of the parameters that is added to their gradient"
    )
    augmentation: Augmentation = Field(description="DSA families of every batch joined by _, or none")
    sharpness: FlatnessConfig
    store: Store
    compute: TrainingCompute

    @property
    def num_shards(self) -> int:
        """The number of jobs that make all experts."""
        return -(-self.count // self.shard_experts)
