"""The names of timm's networks: timm-resnet10t is its resnet10t; underscores are written as hyphens."""

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

from dcpipe.params.network_name import Network, unknown_network_error

if TYPE_CHECKING:
    from torch import nn

    from dcpipe.models.layered import FeatureNetwork

PREFIX = "timm-"


@dataclass(frozen=True)
class TimmName(Network):
    """One of timm's, without pretrained weights."""

    chosen: str

    spellings = (f"{PREFIX}resnet10t and others of timm",)
    prefix = "timm"

    @property
    def name(self) -> str:
        """The chosen one."""
        return self.chosen

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The network of this name. Raises: UserError for one that timm does not have, or if timm is not installed."""
        if not name.startswith((PREFIX, "timm:")):
            return None
        spelled = name.replace("timm:", PREFIX).replace("_", "-")
        if spelled not in _names():
            raise unknown_network_error(name)
        return cls(spelled)

    @classmethod
    def similar_names(cls, name: str) -> tuple[str, ...]:
        """The nearest of them, if any is near."""
        return tuple(difflib.get_close_matches(name, _names(), n=1)) if name.startswith(cls.prefix) else ()

    @property
    def has_running_statistics(self) -> bool:
        """Those with batch norm, which is looked at."""
        from dcpipe.models.library_model import has_batch_norm

        return has_batch_norm(_model(self.chosen, 2))

    def image_size_problem(self, image_size: int) -> tuple[str, str] | None:
        """Sizes that it cannot take, and models with layers unknown here, which is tried without computing anything."""
        return _size_problem(self.chosen, image_size)

    def build(self, *, channels: int, image_size: int, classes: int) -> "FeatureNetwork":
        """The network."""
        from dcpipe.models.library_model import LibraryModel

        self.refuse_size(image_size)
        return LibraryModel(_model(self.chosen, classes), channels)


@cache
def _names() -> dict[str, str]:
    """timm's names by the spelling here. Raises: UserError if timm is not installed."""
    from dcpipe.models.library_model import missing_package_error

    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_package_error("timm", "network", "timm") from error
    return {f"{PREFIX}{model.replace('_', '-').replace('.', '-')}": model for model in timm.list_models()}


@cache
def _size_problem(name: str, image_size: int) -> tuple[str, str] | None:
    from dcpipe.models.library_model import training_problem

    problem = training_problem(_model(name, 2), image_size=image_size)
    if problem is None:
        return None
    found = f"{name} cannot be trained on images of {image_size}x{image_size} pixels ({problem})"
    return found, "choose another network, or a dataset with larger images"


def _model(name: str, classes: int) -> "nn.Module":
    """On the meta device."""
    import timm
    import torch

    with torch.device("meta"):
        model: nn.Module = timm.create_model(_names()[name], pretrained=False, num_classes=classes)
    return model
