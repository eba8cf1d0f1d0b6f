"""The name of a network: one string, spelled in one way, used in params, paths and tables.

A family of networks is a subclass of `Network` in a module whose name ends in `_network` (of this package; another
package names the module by the entry point `dcpipe.axes`). It registers itself when that module is imported:
`dcpipe.models.convnet_network` reads names such as convnet4-w64-batch, `dcpipe.models.classic_network` has fixed ones.

The family's module is the root of a network's code identity, with all that it imports: what a name means alters
numbers. Its `build` imports the layers, so that planning, which imports this module, loads no torch.
"""

import difflib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import AfterValidator

from dcpipe.errors import UserError
from dcpipe.params.axis import is_config, load_values
from dcpipe.params.work import NetworkSize

if TYPE_CHECKING:
    from dcpipe.models.layered import FeatureNetwork


class Network(ABC):
    """One network: what its name says, and what planning must know before anything is built.

    `spellings` says in messages which names the family has. Every name of the family begins with `prefix`: other names
    are not shown to it, and what begins so and is no name is taken for a misspelt one. An empty prefix claims nothing.
    """

    families: ClassVar[dict[str, type["Network"]]] = {}
    spellings: ClassVar[tuple[str, ...]] = ()
    prefix: ClassVar[str] = ""

    def __init_subclass__(cls, *, is_base: bool = False) -> None:
        """Register a family; `is_base` for a class that families inherit from.

        Raises: TypeError for a module that code identity leaves out.
        """
        super().__init_subclass__()
        if is_config(cls.__module__):
            raise TypeError(f"{cls.__module__} holds the network {cls.__name__}: end the module's name in _network")
        if not is_base:
            Network.families[f"{cls.__module__}.{cls.__qualname__}"] = cls

    @property
    @abstractmethod
    def name(self) -> str:
        """The one spelling of this network."""

    @classmethod
    @abstractmethod
    def parse(cls, name: str) -> Self | None:
        """The network of a name in small letters; None if it is not of this family.

        Raises: UserError for a name of the family that is impossible.
        """

    @classmethod
    @abstractmethod
    def similar_names(cls, name: str) -> tuple[str, ...]:
        """Names of the family that a misspelt one may stand for."""

    @abstractmethod
    def build(self, *, channels: int, image_size: int, classes: int) -> "FeatureNetwork":
        """The network, with `features` (N C H W -> N F) and `forward` (N C H W -> N K), for square images.

        Batch norms must not track running statistics. Called under `torch.device("meta")`: nothing is drawn.
        """

    def size(self, *, channels: int, image_size: int, classes: int) -> NetworkSize:
        """Its parameters, and what a pass over one image holds and computes.

        This one builds the network and looks, which loads torch: a family that states its own keeps planning quick.
        """
        import torch

        from dcpipe.models.traced_size import traced_size

        with torch.device("meta"):
            network = self.build(channels=channels, image_size=image_size, classes=classes)
        return traced_size(network, channels=channels, image_size=image_size)

    @property
    def has_running_statistics(self) -> bool:
        """Whether it normalises by batch statistics, whose running averages are no parameters."""
        return False

    @property
    def num_blocks(self) -> int | None:
        """How many blocks it has, if what it builds is a `dcpipe.models.layered.BlockNetwork`; None for any other."""
        return None

    def image_size_problem(self, _image_size: int) -> tuple[str, str] | None:
        """What is wrong with square images of this many pixels per side, and what to do; None for a size it takes."""
        return None

    def refuse_size(self, image_size: int) -> None:
        """Refuse square images that it cannot take. Raises: UserError naming the network."""
        size_problem = self.image_size_problem(image_size)
        if size_problem:
            raise UserError(size_problem[0], where=f"network {self.name}", remedy=size_problem[1])


@dataclass(frozen=True)
class FixedNetwork(Network, is_base=True):
    """One of a family that is a list of names."""

    names: ClassVar[tuple[str, ...]] = ()

    chosen: str

    def __init_subclass__(cls, *, is_base: bool = False) -> None:
        """Its names are its spellings."""
        super().__init_subclass__(is_base=is_base)
        cls.spellings = cls.names

    def __post_init__(self) -> None:
        """Raises: UserError for a name that is not in the list."""
        if self.chosen not in self.names:
            raise unknown_network_error(self.chosen)

    @property
    def name(self) -> str:
        """The chosen one."""
        return self.chosen

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The network of this name; None for one that is not in the list."""
        return cls(name) if name in cls.names else None

    @classmethod
    def similar_names(cls, name: str) -> tuple[str, ...]:
        """The nearest of them, if any is near."""
        return tuple(difflib.get_close_matches(name, cls.names, n=1))


def families() -> tuple[type[Network], ...]:
    """Every family, those with a list of names last."""
    load_values()
    return tuple(sorted(Network.families.values(), key=lambda each: (issubclass(each, FixedNetwork), each.__name__)))


def parse(name: str) -> Network:
    """The network a name stands for.

    Raises: UserError for an unknown name (with what exists and the nearest match) and for a second spelling
    of a known one (with the first).
    """
    lowered = name.strip().lower()
    asked = [family for family in families() if lowered.startswith(family.prefix)]
    found = [network for family in asked if (network := family.parse(lowered))]
    if not found:
        raise unknown_network_error(lowered)
    if len(found) > 1:
        owners = " and ".join(type(network).__module__ for network in found)
        raise UserError(
            f"both families of networks accept the name {name!r}",
            where=owners,
            remedy="let one of them accept another name, or uninstall its package",
        )
    network = found[0]
    if network.name != name:
        raise UserError(
            f"{name!r} is not how this network is spelled", where="network", remedy=f"write {network.name!r}"
        )
    return network


def unknown_network_error(name: str) -> UserError:
    """The refusal of a name that no family reads: what exists, and what was probably meant."""
    claimed = [family for family in families() if family.prefix and name.startswith(family.prefix)]
    candidates = [near for family in claimed or families() for near in family.similar_names(name)]
    nearest = candidates if claimed else difflib.get_close_matches(name, candidates, n=1)
    exists = ", or ".join(", ".join(family.spellings) for family in families())
    return UserError(
        f"there is no network {name!r}" + (f" (did you mean {nearest[0]!r}?)" if nearest else ""),
        where="network",
        remedy=f"known networks: {exists}",
    )


def module_of(name: str) -> str:
    """The dotted name of the module that a network's code starts at. Raises: UserError as `parse`."""
    return type(parse(name)).__module__


def has_running_statistics(name: str) -> bool:
    """Whether a network normalises by batch statistics, whose running averages are no parameters."""
    return parse(name).has_running_statistics


def refuse_image_size(network: Network, image_size: int, where: str) -> None:
    """As `Network.refuse_size`, naming the file and key that chose the network."""
    try:
        network.refuse_size(image_size)
    except UserError as error:
        raise UserError(error.problem, where=where, remedy=error.remedy) from error


def num_blocks_of(name: str) -> int | None:
    """How many blocks a network has; None for one whose layers are not known."""
    return parse(name).num_blocks


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
