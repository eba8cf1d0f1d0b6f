"""The name of a network: one string, spelled in one way, used in params, paths and tables.

    convnet{depth}[-w{width}][-{norm}][-{activation}][-{pooling}]     for example convnet3, convnet4-w64-batch
    mlp, lenet, alexnet, vgg11, vgg11-bn, resnet18, resnet18-bn, resnet18-ap, resnet18-ap-bn

What equals a default (w128, instance, relu, avgpool) is left out, so that two names are never one network.
Planning imports this module: it must stay free of torch.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator

from dcpipe.errors import UserError

Norm = Literal["nonorm", "batch", "layer", "instance", "group"]
Activation = Literal["sigmoid", "relu", "leakyrelu", "swish"]
Pooling = Literal["nopool", "maxpool", "avgpool"]

GROUPS = 4  # of the norm "group"
CLASSIC_SIZES = (28, 32, 64, 128)  # pixels that every classic network but the mlp is laid out for
_CLASSIC = (
    "mlp", "lenet", "alexnet",
    "vgg11", "vgg11-bn", "resnet18", "resnet18-bn", "resnet18-ap", "resnet18-ap-bn",
)  # fmt: skip
_DEFAULTS = ("w128", "instance", "relu", "avgpool")
_KINDS = ("width", "norm", "activation", "pooling")  # in the order of a name
_NORMS: tuple[Norm, ...] = get_args(Norm)
_ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
_POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True, slots=True)
class ConvNetName:
    """A ConvNet: `depth` blocks of 3x3 convolution, norm, activation and pooling, `width` channels each."""

    depth: int
    width: int = 128
    norm: Norm = "instance"
    activation: Activation = "relu"
    pooling: Pooling = "avgpool"

    def __post_init__(self) -> None:
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

    def sides(self, image_size: int) -> tuple[int, ...]:
        """Height and width in pixels inside each block before its pooling, then after the last block.

        28x28 images are padded to 32x32 on the way into the first block, as the papers do for MNIST.
        """
        sides = [32 if image_size == 28 else image_size]
        for _ in range(self.depth):
            sides.append(sides[-1] if self.pooling == "nopool" else sides[-1] // 2)
        return tuple(sides)


@dataclass(frozen=True, slots=True)
class ClassicName:
    """One of the fixed networks that the papers evaluate across architectures with."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in _CLASSIC:
            raise _unknown(self.name)


NETWORK_MODULES: Mapping[type[ConvNetName] | type[ClassicName], str] = {
    ConvNetName: "dcpipe.models.convnet",
    ClassicName: "dcpipe.models.classic",
}


def parse(name: str) -> ConvNetName | ClassicName:
    """The network a name stands for.

    Raises: UserError for an unknown name (with what exists and the nearest match) and for a second spelling
    of a known one (with the first).
    """
    lowered = name.strip().lower()
    network = ClassicName(lowered) if lowered in _CLASSIC else _parse_convnet(lowered)
    if network.name != name:
        raise UserError(
            f"{name!r} is not how this network is spelled", where="network", remedy=f"write {network.name!r}"
        )
    return network


def module_of(name: str) -> str:
    """The dotted name of the module that builds a network. Raises: UserError as `parse`."""
    return NETWORK_MODULES[type(parse(name))]


def has_running_statistics(name: str) -> bool:
    """Whether a network normalises by batch statistics, whose running averages are no parameters."""
    network = parse(name)
    return network.norm == "batch" if isinstance(network, ConvNetName) else network.name.endswith("-bn")


def refuse_size(network: ConvNetName | ClassicName, image_size: int) -> None:
    """Refuse square images of `image_size` pixels that a network cannot take.

    Raises: UserError naming the network and the sizes.
    """
    pixels = f"{image_size}x{image_size}"
    if isinstance(network, ConvNetName):
        if network.sides(image_size)[-1] < 1:
            deepest = network.sides(image_size)[0].bit_length() - 1
            raise UserError(
                f"{network.name} halves its images {network.depth} times, {pixels} pixels allow {deepest}",
                where=f"network {network.name}",
                remedy=f"take a depth of at most {deepest}, or nopool" if deepest else "take nopool",
            )
    elif network.name != "mlp" and image_size not in CLASSIC_SIZES:
        sizes = ", ".join(f"{size}x{size}" for size in CLASSIC_SIZES)
        raise UserError(
            f"{network.name} has no layout for images of {pixels} pixels (it has for {sizes})",
            where=f"network {network.name}",
            remedy="take mlp or a convnet, which fit any size",
        )


def refuse_size_at(network: ConvNetName | ClassicName, image_size: int, where: str) -> None:
    """As `refuse_size`, naming the file and key that chose the network."""
    try:
        refuse_size(network, image_size)
    except UserError as error:
        raise UserError(error.what, where=where, remedy=error.remedy) from error


def layers_of(name: str) -> int | None:
    """How many blocks a ConvNet has; None for any other network."""
    network = parse(name)
    return network.depth if isinstance(network, ConvNetName) else None


def check_network(name: str) -> str:
    """A network name in its one spelling; `native` stands for the dataset's own. Raises: ValueError (for pydantic)."""
    if name != "native":
        try:
            parse(name)
        except UserError as error:
            raise ValueError(str(error)) from error
    return name


NetworkOrNative = Annotated[str, AfterValidator(check_network)]
"""A network's name, or `native` for the dataset's own."""


def _parse_convnet(name: str) -> ConvNetName:
    head, *modifiers = name.split("-")
    depth = re.fullmatch(r"convnet([0-9]{1,2})", head)
    if not depth:
        raise _unknown(name)
    chosen: dict[str, str] = {}
    for modifier in modifiers:
        kind = _kind(modifier)
        if kind is None:
            raise _unknown(name)
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
    return ConvNetName(
        depth=int(depth[1]),
        width=int(width[1:]),
        norm=_NORMS[_NORMS.index(norm)],
        activation=_ACTIVATIONS[_ACTIVATIONS.index(activation)],
        pooling=_POOLINGS[_POOLINGS.index(pooling)],
    )


def _kind(modifier: str) -> str | None:
    """Which part of a ConvNet's name a word speaks about; None for a word that is not in the language."""
    if re.fullmatch(r"w[0-9]{1,5}", modifier):
        return "width"
    words = zip(_KINDS[1:], (Norm, Activation, Pooling), strict=True)
    return next((kind for kind, literal in words if modifier in get_args(literal)), None)


def _unknown(name: str) -> UserError:
    """The answer to a name outside the language: what exists, and what was probably meant."""
    mended = _mended(name)
    is_convnet = name.startswith("conv")
    nearest = [mended] if is_convnet else difflib.get_close_matches(name, (*_CLASSIC, mended), n=1)
    words = (*get_args(Norm), *get_args(Activation), *get_args(Pooling))
    exists = f"convnet{{depth}} with any of -w{{width}} -{' -'.join(words)}, or {', '.join(_CLASSIC)}"
    return UserError(
        f"there is no network {name!r}" + (f" (did you mean {nearest[0]!r}?)" if nearest else ""),
        where="network",
        remedy=f"choose from: {exists}",
    )


def _mended(name: str) -> str:
    """A ConvNet's name with each word replaced by the nearest one of the language, or left out."""
    head, *modifiers = name.split("-")
    words = (*get_args(Norm), *get_args(Activation), *get_args(Pooling))
    kept: dict[str | None, str] = {}
    for modifier in modifiers:
        word = modifier if _kind(modifier) else "".join(difflib.get_close_matches(modifier, words, n=1))
        kept[_kind(word)] = word
    depth = re.search(r"[1-9][0-9]?", head)
    spelled = [kept[kind] for kind in _KINDS if kept.get(kind, "w128") not in _DEFAULTS]
    return "-".join([f"convnet{depth[0] if depth else 3}", *spelled])
