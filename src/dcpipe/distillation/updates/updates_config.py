"""Updates a network: how many updates of the images are made against one network."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_axes import UpdatesPerNetworkConfig
from dcpipe.params.schema import STRICT, Count, Fraction

if TYPE_CHECKING:
    from dcpipe.distillation.updates.update_counts import LastUpdateRule

Window = Annotated[int, Field(ge=2)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FixedUpdates(UpdatesPerNetworkConfig):
    """So many updates of the images a network."""

    implementation = ("dcpipe.distillation.updates.update_counts",)

    kind: Literal["fixed"]
    count: Count = Field(description="updates per network; T, outer_loop in the DC code")

    @property
    def max_updates(self) -> int:
        """Their number."""
        return self.count

    @property
    def is_single_update(self) -> bool:
        """Whether there is exactly one."""
        return self.count == 1

    def build(self) -> "LastUpdateRule":
        """By their number."""
        from dcpipe.distillation.updates import update_counts

        return partial(update_counts.after_fixed_count, self.count)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """A few."""
        return {"fixed": Example({"kind": "fixed", "count": 4})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UntilSettled(UpdatesPerNetworkConfig):
    """Until the network's accuracy on real images, measured after every update, has settled (CAFE)."""

    implementation = ("dcpipe.distillation.updates.update_counts",)

    kind: Literal["until-settled"]
    window: Window = Field(description="measurements that are compared")
    range: Fraction = Field(description="they differ by less than this when it has settled; lambda_1")
    real_batch: Count = Field(description="real images per class that it is measured on")
    at_most: Count = Field(description="updates")

    @property
    def max_updates(self) -> int:
        """The bound."""
        return self.at_most

    def build(self) -> "LastUpdateRule":
        """By accuracy."""
        from dcpipe.distillation.updates import update_counts

        return partial(update_counts.after_accuracy_settles, self)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Three at most."""
        tree = {"kind": "until-settled", "window": 2, "range": 0.0, "real_batch": 2, "at_most": 3}
        return {"until-settled": Example(tree, changes={"at_most": 1, "range": 0.5})}
