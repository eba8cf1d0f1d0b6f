"""What a distillation, or a choice of real images, ends with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcpipe.distillation.synthetic_set import SyntheticSet

if TYPE_CHECKING:
    from dcpipe.distillation.setting import Setting


@dataclass(frozen=True, slots=True)
class DistillationResult:
    """The finished set, the sets of the iterations that selection may choose from, and a row per iteration."""

    synthetic: SyntheticSet
    snapshots: list[tuple[int, SyntheticSet]]
    history: list[dict[str, int | float]] = field(default_factory=list)


Distiller = Callable[["Setting"], DistillationResult]
"""What makes a set."""
