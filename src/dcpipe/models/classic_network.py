"""The names of the fixed networks that the papers evaluate across architectures with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcpipe.params.network_name import FixedNetwork
from dcpipe.params.work import NetworkSize

if TYPE_CHECKING:
    from dcpipe.models.layered import FeatureNetwork

CLASSIC_SIZES = (28, 32, 64, 128)  # pixels that every classic network but the mlp is laid out for
VGG_STAGES = {  # how many convolutions each of the five stages has, before its pooling
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
VGG_WIDTHS = (64, 128, 256, 512, 512)  # of the stages


@dataclass(frozen=True)
class ClassicName(FixedNetwork):
    """An MLP, LeNet, AlexNet, VGG or ResNet18; `-bn` with batch norm, `-ap` with average pooling for strides."""

    names = (
        "mlp", "lenet", "alexnet", "alexnet-bn",
        "vgg11", "vgg11-bn", "vgg13", "vgg13-bn", "vgg16", "vgg16-bn", "vgg19", "vgg19-bn",
        "resnet18", "resnet18-bn", "resnet18-ap", "resnet18-ap-bn",
    )  # fmt: skip

    @property
    def has_running_statistics(self) -> bool:
        """Those with batch norm."""
        return self.name.endswith("-bn")

    def image_size_problem(self, image_size: int) -> tuple[str, str] | None:
        """Images that no layout exists for, with the sizes that one exists for."""
        if self.name == "mlp" or image_size in CLASSIC_SIZES:
            return None
        sizes = ", ".join(f"{size}x{size}" for size in CLASSIC_SIZES)
        problem = f"{self.name} has no layout for images of {image_size}x{image_size} pixels (only for {sizes})"
        return problem, "take mlp or a convnet, which fit any size"

    def build(self, *, channels: int, image_size: int, classes: int) -> "FeatureNetwork":
        """The network of the name."""
        from dcpipe.models import classic

        return classic.build(self, channels=channels, image_size=image_size, classes=classes)

    def size(self, *, channels: int, image_size: int, classes: int) -> NetworkSize:
        """Layer by layer."""
        from dcpipe.models.classic_size import sum_layers

        return sum_layers(self.name, channels, image_size, classes).size
