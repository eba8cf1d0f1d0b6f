"""The names of ConvNets: convnet{depth}[-w{width}][-{norm}][-{activation}][-{pooling}], for example convnet4-w64-batch.

What equals a default (w128, instance, relu, avgpool) is left out, so that two names are never one network.
"""

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast, get_args

from dcpipe.errors import UserError
from dcpipe.params.network_name import Network, unknown_network_error
from dcpipe.params.work import NetworkSize, NetworkSizeBuilder

if TYPE_CHECKING:
    from dcpipe.models.layered import FeatureNetwork

Norm = Literal["nonorm", "batch", "layer", "instance", "group"]
Activation = Literal["sigmoid", "relu", "leakyrelu", "swish"]
Pooling = Literal["nopool", "maxpool", "avgpool"]

GROUPS = 4  # of the norm "group"
_WORDS = (*get_args(Norm), *get_args(Activation), *get_args(Pooling))
_DEFAULTS = ("w128", "instance", "relu", "avgpool")
_KINDS = ("width", "norm", "activation", "pooling")  # in the order of a name


@dataclass(frozen=True)
class ConvNetName(Network):
    """A ConvNet: `depth` blocks of 3x3 convolution, norm, activation and pooling, `width` channels each."""

    spellings = (f"convnet{{depth}} with any of -w{{width}} -{' -'.join(_WORDS)}",)
    prefix = "conv"

    depth: int
    width: int = 128
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avgpool"

    def __post_init__(self) -> None:
        """Raises: UserError for one that cannot be."""
        if self.depth < 1 or self.width < 1:
            raise UserError(
                f"a ConvNet of depth {self.depth} and width {self.width} has no layer to train",
                where="network",
                remedy="give both as whole numbers from 1",
            )
        if self.norm == "group" and self.width % GROUPS:
            raise UserError(
                f"width {self.width} cannot be split into {GROUPS} equal groups",
                where=f"network {self.name}",
                remedy=f"take a multiple of {GROUPS}",
            )

    @property
    def name(self) -> str:
        """The one spelling of this network."""
        words = (f"w{self.width}", self.norm, self.activation, self.pooling)
        spelled = [word for word in words if word not in _DEFAULTS]
        return "-".join([f"convnet{self.depth}", *spelled])

    @property
    def has_running_statistics(self) -> bool:
        """Those with batch norm."""
        return self.norm == "batch"

    @property
    def num_blocks(self) -> int | None:
        """Its depth."""
        return self.depth

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Height and width in pixels inside each block before its pooling, then after the last block.

        28x28 images are padded to 32x32 on the way into the first block, as the papers do for MNIST.
        """
        sides = [32 if image_size == 28 else image_size]
        for _ in range(self.depth):
            sides.append(sides[-1] if self.pooling == "nopool" else sides[-1] // 2)
        return tuple(sides)

    def image_size_problem(self, image_size: int) -> tuple[str, str] | None:
        """Images that are too small for the depth, with the deepest that they allow."""
        if self.sides(image_size)[-1] >= 1:
            return None
        deepest = self.sides(image_size)[0].bit_length() - 1
        pixels = f"{image_size}x{image_size} pixels"
        problem = f"{self.name} halves its images {self.depth} times, {pixels} allow {deepest}"
        return problem, f"take a depth of at most {deepest}, or nopool" if deepest else "take nopool"

    def build(self, *, channels: int, image_size: int, classes: int) -> "FeatureNetwork":
        """The ConvNet."""
        from dcpipe.models import convnet

        return convnet.build(self, channels=channels, image_size=image_size, classes=classes)

    def size(self, *, channels: int, image_size: int, classes: int) -> NetworkSize:
        """Block by block."""
        sides = self.sides(image_size)
        layers = NetworkSizeBuilder(channels, image_size)
        for place, side in enumerate(sides[:-1]):
            layers.convolution(self.width, 3, padding=3 if place == 0 and image_size == 28 else 1)
            if self.norm != "nonorm":
                layers.norm(2 * self.width * (side**2 if self.norm == "layer" else 1))
            layers.activation()
            if self.pooling != "nopool":
                layers.pool(2)
        layers.linear(classes)
        return layers.size

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The network of a name. Raises: UserError for one that says something twice or that cannot be."""
        head, *modifiers = name.split("-")
        depth = re.fullmatch(r"convnet([0-9]{1,2})", head)
        if not depth:
            return None
        chosen: dict[str, str] = {}
        for modifier in modifiers:
            kind = _kind(modifier)
            if kind is None:
                raise unknown_network_error(name)
            if kind in chosen:
                raise UserError(
                    f"{name!r} names its {kind} twice ({chosen[kind]}, {modifier})",
                    where="network",
                    remedy="keep one of them",
                )
            chosen[kind] = modifier
        width, norm, activation, pooling = (
            chosen.get(kind, default) for kind, default in zip(_KINDS, _DEFAULTS, strict=True)
        )
        return cls(
            depth=int(depth[1]),
            width=int(width[1:]),
            norm=cast("Norm", norm),
            activation=cast("Activation", activation),
            pooling=cast("Pooling", pooling),
        )

    @classmethod
    def similar_names(cls, name: str) -> tuple[str, ...]:
        """The name with each word replaced by the nearest one that there is, or left out."""
        head, *modifiers = name.split("-")
        kept: dict[str | None, str] = {}
        for modifier in modifiers:
            word = modifier if _kind(modifier) else "".join(difflib.get_close_matches(modifier, _WORDS, n=1))
            kept[_kind(word)] = word
        depth = re.search(r"[1-9][0-9]?", head)
        spelled = [kept[kind] for kind in _KINDS if kept.get(kind, "w128") not in _DEFAULTS]
        return ("-".join([f"convnet{depth[0] if depth else 3}", *spelled]),)


def _kind(modifier: str) -> str | None:
    """Which part of a ConvNet's name a word speaks about; None for a word that no name has."""
    if re.fullmatch(r"w[0-9]{1,5}", modifier):
        return "width"
    words = zip(_KINDS[1:], (Norm, Activation, Pooling), strict=True)
    return next((kind for kind, literal in words if modifier in get_args(literal)), None)
