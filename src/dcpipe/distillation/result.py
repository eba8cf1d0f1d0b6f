"""What a distillation, or a choice of real images, ends with."""

from dataclasses import dataclass, field

from dcpipe.distillation.synthetic_set import SyntheticSet


@dataclass(frozen=True, slots=True)
class Result:
    """The finished set, the sets of the iterations that selection may choose from, and a row an iteration."""

    synthetic: SyntheticSet
    snapshots: list[tuple[int, SyntheticSet]]
    history: list[dict[str, int | float]] = field(default_factory=list)
