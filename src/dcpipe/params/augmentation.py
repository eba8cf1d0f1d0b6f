"""How params name a differentiable augmentation: DSA families joined by `_`, or none."""

from typing import Annotated

from pydantic import AfterValidator

FAMILIES = ("color", "crop", "cutout", "flip", "scale", "rotate")


def check(strategy: str) -> str:
    """The strategy itself. Raises: ValueError (for pydantic) if a family is unknown or stands twice."""
    families = [] if strategy == "none" else strategy.split("_")
    for family in families:
        if family not in FAMILIES:
            raise ValueError(f"{family!r} is not an augmentation family; join some of {', '.join(FAMILIES)} with _")
        if families.count(family) > 1:
            raise ValueError(f"{family!r} stands twice in {strategy!r}")
    return strategy


Augmentation = Annotated[str, AfterValidator(check)]
