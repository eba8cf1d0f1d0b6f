"""Coresets: real images as they are, the baselines that a synthetic set must beat."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.schema import STRICT, Index, Name, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandomSelection:
    """Uniformly in each class, without replacement."""

    kind: Literal["random"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Herding:
    """Greedily, so that the mean feature of the chosen stays near the class's.

    Features are those before the last linear layer of one expert at its last kept epoch.
    """

    kind: Literal["herding"]
    experts: Name
    expert: Index


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Whole:
    """Every training image, whatever the ipc: the ceiling."""

    kind: Literal["whole"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Coreset:
    """No matching. `step_size` is what evaluation trains with when it asks for the set's own."""

    kind: Literal["none"]
    selection: Annotated[RandomSelection | Herding | Whole, Field(discriminator="kind")]
    step_size: PositiveFloat
