"""Feature alignment: which layers are compared, and how much the discrimination of real images counts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.distillation.matching.network_config import NetworkMatchingConfig, refuse_idle_training, training_work
from dcpipe.params.augmentation import Augmentation
from dcpipe.params.axis import Example, ValueLocation
from dcpipe.params.method_axes import MethodContext
from dcpipe.params.network_axes import TrainingConfig, UpdatesPerNetworkConfig
from dcpipe.params.network_name import NetworkOrNative, has_running_statistics, num_blocks_of
from dcpipe.params.schema import STRICT, Count, NonNegativeFloat
from dcpipe.params.work import FLOAT_BYTES, SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FeatureMatchingConfig(NetworkMatchingConfig):
    """Networks shall see the same mean of every layer, and tell real images apart (CAFE, arXiv:2203.01531).

    A reconstruction.
    """

    implementation = ("dcpipe.distillation.loop", "dcpipe.distillation.matching.feature_matching")

    kind: Literal["features"]
    network: NetworkOrNative = Field(description="the network that is drawn; native: the dataset's own")
    real_batch: Count = Field(description="real images per class in an update")
    augmentation: Augmentation = Field(description="DSA families for both sides of a class joined by _, or none")
    layer_weights: Annotated[list[NonNegativeFloat], Field(min_length=2)] = Field(
        description="weight of each block, then of the last features"
    )
    discrimination_weight: NonNegativeFloat = Field(description="weight of the summed cross-entropy")
    updates: UpdatesPerNetworkConfig
    training: TrainingConfig

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """As of every matching with networks; one weight for each layer of a ConvNet without batch norm."""
        super().check(location, context)
        refuse_idle_training(location, self.updates, self.training)
        network = context.network or self.network
        layers = num_blocks_of(network)
        if layers is None:
            raise location.error(
                "network",
                f"feature matching needs a network of blocks, and {network} is not one",
                "choose a ConvNet, such as convnet3",
            )
        if has_running_statistics(network):
            remedy = "choose the same network with instance or group norm"
            raise location.error(
                "network", f"{network} has batch norm, and CAFE does not describe its features", remedy
            )
        if len(self.layer_weights) != layers + 1:
            problem = f"{len(self.layer_weights)} weights for the {layers} blocks of {network} and its features"
            raise location.error("layer_weights", problem, f"write {layers + 1}")

    def estimate_work(self, sizes: SetSizes) -> Work:
        """Every layer of a class's real images, and of its synthetic ones to be differentiated."""
        network = sizes.network
        if network is None:
            return Work()
        real = network.forward_work(min(self.real_batch, sizes.train_images_per_class))
        layers = Work(phases=(FLOAT_BYTES * network.activations * min(self.real_batch, sizes.train_images_per_class),))
        update = (real + network.gradient_work(sizes.ipc)).times(sizes.classes * self.updates.max_updates)
        means = Work(held_bytes=FLOAT_BYTES * sizes.classes * network.activations)
        return means + layers + update + training_work(sizes, network, self.updates, self.training)

    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""
        from dcpipe.distillation.matching.feature_matching import FeatureMatching

        return FeatureMatching(self, setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """CAFE on tiny."""
        tree = {
            "kind": "features",
            "network": "native",
            "real_batch": 4,
            "augmentation": "none",
            "layer_weights": [1.0, 1.0, 1.0],
            "discrimination_weight": 0.01,
            "updates": {"kind": "fixed", "count": 1},
            "training": {"kind": "none"},
        }
        required_params = {"outer.step_size": {"kind": "fixed", "initial": 0.01}}
        changes = {"augmentation": "crop", "network": "convnet2-w16", "layer_weights": [0.1, 2.0, 1.0]}
        return {"features": Example(tree, required_params, changes)}
