"""The names of torchvision's networks: torchvision-resnet18 is its resnet18; underscores are written as hyphens."""

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

from dcpipe.params.network_name import Network, unknown_network_error

if TYPE_CHECKING:
    from torch import nn

    from dcpipe.models.layered import FeatureNetwork

PREFIX = "torchvision-"
MODELS = (
    "alexnet", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18",
    "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "vgg11", "vgg11_bn", "vgg16",
    "vgg16_bn", "wide_resnet50_2",
)  # fmt: skip
NAMES = {f"{PREFIX}{model.replace('_', '-')}": model for model in MODELS}


@dataclass(frozen=True)
class TorchvisionName(Network):
    """One of torchvision's, without pretrained weights."""

    chosen: str

    spellings = (f"{PREFIX}resnet18 and others of torchvision",)
    prefix = "torchvision"

    @property
    def name(self) -> str:
        """The chosen one."""
        return self.chosen

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The network of this name. Raises: UserError for one of this prefix that is not in the list."""
        if not name.startswith(cls.prefix):
            return None
        spelled = name.replace("torchvision:", PREFIX).replace("_", "-")
        if spelled not in NAMES:
            raise unknown_network_error(name)
        return cls(spelled)

    @classmethod
    def similar_names(cls, name: str) -> tuple[str, ...]:
        """The nearest of them, if any is near."""
        return tuple(difflib.get_close_matches(name, NAMES, n=1))

    @property
    def has_running_statistics(self) -> bool:
        """Those with batch norm, which is looked at."""
        from dcpipe.models.library_model import has_batch_norm

        return has_batch_norm(_model(NAMES[self.chosen], 2))

    def image_size_problem(self, image_size: int) -> tuple[str, str] | None:
        """Sizes that it cannot take, which is tried without computing anything."""
        return _size_problem(self.chosen, image_size)

    def build(self, *, channels: int, image_size: int, classes: int) -> "FeatureNetwork":
        """The network."""
        from dcpipe.models.library_model import LibraryModel

        self.refuse_size(image_size)
        return LibraryModel(_model(NAMES[self.chosen], classes), channels)


@cache
def _size_problem(name: str, image_size: int) -> tuple[str, str] | None:
    from dcpipe.models.library_model import training_problem

    problem = training_problem(_model(NAMES[name], 2), image_size=image_size)
    if problem is None:
        return None
    found = f"{name} cannot take images of {image_size}x{image_size} pixels ({problem})"
    return found, "choose another network, or a dataset with larger images"


def _model(name: str, classes: int) -> "nn.Module":
    """On the meta device. Raises: UserError if torchvision is not installed."""
    import torch

    from dcpipe.models.library_model import missing_package_error

    try:
        from torchvision import models
    except ModuleNotFoundError as error:
        raise missing_package_error("torchvision", f"network {PREFIX}{name}", "images") from error
    with torch.device("meta"):
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    return model
