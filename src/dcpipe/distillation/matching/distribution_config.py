"""Distribution matching: what is averaged, and over which images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.distillation.matching.network_config import NetworkMatchingConfig
from dcpipe.params.augmentation import Augmentation
from dcpipe.params.axis import Example
from dcpipe.params.network_name import NetworkOrNative, has_running_statistics
from dcpipe.params.schema import STRICT, Count
from dcpipe.params.work import SetSizes, Work

if TYPE_CHECKING:
    from dcpipe.distillation.episodes import Matching
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DistributionMatchingConfig(NetworkMatchingConfig):
    """Untrained networks shall see the same mean features of each class in both sets (DM, arXiv:2110.04181)."""

    implementation = ("dcpipe.distillation.loop", "dcpipe.distillation.matching.distribution_matching")

    kind: Literal["distribution"]
    network: NetworkOrNative = Field(description="the network that is drawn; native: the dataset's own")
    real_batch: Count = Field(description="real images per class in an update; --batch_real")
    augmentation: Augmentation = Field(description="DSA families for both sides of a class joined by _, or none")

    def estimate_work(self, sizes: SetSizes) -> Work:
        """Class by class; with batch norm all classes at once."""
        network = sizes.network
        if network is None:
            return Work()
        real, own = min(self.real_batch, sizes.train_images_per_class), sizes.ipc
        if self.network != "native" and has_running_statistics(self.network):
            return network.forward_work(sizes.classes * real) + network.gradient_work(sizes.classes * own)
        return (network.forward_work(real) + network.gradient_work(own)).times(sizes.classes)

    def build(self, setting: "Setting") -> "Matching":
        """The matching of a job."""
        from dcpipe.distillation.matching.distribution_matching import DistributionMatching

        return DistributionMatching(self, setting)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """DM on tiny."""
        tree = {"kind": "distribution", "network": "native", "real_batch": 4, "augmentation": "none"}
        required_params = {"outer.step_size": {"kind": "fixed", "initial": 0.01}}
        return {"distribution": Example(tree, required_params, {"augmentation": "crop", "network": "convnet2-w16"})}
