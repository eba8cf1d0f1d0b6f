"""Gradient matching: what gradients are compared, how, and at which parameters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.distillation.distances.rows_config import OutputRows
from dcpipe.distillation.matching.network_config import NetworkMatchingConfig, refuse_idle_training, training_work
from dcpipe.params.augmentation import Augmentation
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.network_axes import (
    GradientLevelsConfig,
    GradientMagnitudeConfig,
    GradientRowsConfig,
    TrainingConfig,
    UpdatesPerNetworkConfig,
)
from dcpipe.params.network_name import NetworkOrNative
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT, Count, NonNegativeFloat
from dcpipe.params.work import SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.distances.gradient_distance import GradientDistance
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GradientDistanceConfig:
    """Of two gradients, row by row: `angle` times 1 - cos, plus what `magnitude` says."""

    rows: Annotated[GradientRowsConfig, NeutralDefault(OutputRows(kind="outputs"))]
    angle: NonNegativeFloat = Field(description="weight of 1 - cos of the angle between two rows")
    magnitude: GradientMagnitudeConfig

    def build(self) -> "GradientDistance":
        """The distance of two gradients."""
        from dcpipe.distillation.distances.gradient_distance import GradientDistance

        return GradientDistance(self.rows.build(), self.angle, self.magnitude.build(), self.magnitude.distance_weight)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GradientMatchingConfig(NetworkMatchingConfig):
    """Networks shall get the same gradients from the synthetic set as from real images (DC, arXiv:2006.05929)."""

    implementation = (
        "dcpipe.distillation.loop",
        "dcpipe.distillation.matching.gradient_matching",
        "dcpipe.distillation.distances.gradient_distance",
    )

    kind: Literal["gradient"]
    network: NetworkOrNative = Field(description="the network that is drawn; native: the dataset's own")
    real_batch: Count = Field(description="real images per class in an update; --batch_real")
    augmentation: Augmentation = Field(description="DSA families for both sides of a class joined by _, or none")
    levels: GradientLevelsConfig
    distance: GradientDistanceConfig
    updates: UpdatesPerNetworkConfig
    training: TrainingConfig

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """As of every matching with networks; training must have a use and the distance a part."""
        super().check(location, context)
        refuse_idle_training(location, self.updates, self.training)
        if self.distance.angle == 0 and self.distance.magnitude.distance_weight == 0:
            remedy = "give angle a weight, or choose a magnitude"
            raise location.error("distance.angle", "angle and magnitude are both 0", remedy)

    def estimate_work(self, sizes: SetSizes) -> Work:
        """Both gradients of each class, every update; the real ones of all classes are kept."""
        network = sizes.network
        if network is None:
            return Work()
        real = network.gradient_work(min(self.real_batch, sizes.train_images_per_class))
        update = (real + network.pullback_work(sizes.ipc)).times(sizes.classes * self.updates.max_updates)
        kept = Work(held_bytes=(sizes.classes + 4) * network.bytes)
        return kept + update + training_work(sizes, network, self.updates, self.training)

    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""
        from dcpipe.distillation.matching.gradient_matching import GradientMatching

        return GradientMatching(self, setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """DC on tiny."""
        tree = {
            "kind": "gradient",
            "network": "native",
            "real_batch": 4,
            "augmentation": "none",
            "levels": {"kind": "intra-class"},
            "distance": {"angle": 1.0, "magnitude": {"kind": "none"}},
            "updates": {"kind": "fixed", "count": 1},
            "training": {"kind": "none"},
        }
        required_params = {"outer.step_size": {"kind": "fixed", "initial": 0.01}}
        changes = {"augmentation": "crop", "network": "convnet2-w16", "distance.angle": 1.5}
        return {"gradient": Example(tree, required_params, changes)}
