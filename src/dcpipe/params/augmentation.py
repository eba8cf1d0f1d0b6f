"""How params name an augmentation: DSA families joined by `_`, or none.

Networks that are tested may also be trained with DC's, which is not differentiable: `one-of-crop-scale-rotate` does one
of its operations to each image.
"""

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
            raise ValueError(f"{strategy!r} names {family!r} twice; name it once")
    return strategy


Augmentation = Annotated[str, AfterValidator(check)]


ONE_OF = "one-of-"
OPERATIONS = ("crop", "scale", "rotate", "noise")


def one_of(strategy: str) -> tuple[str, ...]:
    """The operations that DC's augmentation chooses among; none if the strategy is DSA's."""
    return tuple(strategy.removeprefix(ONE_OF).split("-")) if strategy.startswith(ONE_OF) else ()


def check_training(strategy: str) -> str:
    """The strategy itself. Raises: ValueError (for pydantic) if a family or operation is unknown or stands twice."""
    operations = one_of(strategy)
    for operation in operations:
        if operation not in OPERATIONS:
            raise ValueError(f"{operation!r} is none of DC's operations; join some of {', '.join(OPERATIONS)} with -")
        if operations.count(operation) > 1:
            raise ValueError(f"{strategy!r} names {operation!r} twice; name it once")
    return strategy if operations else check(strategy)


TrainingAugmentation = Annotated[str, AfterValidator(check_training)]
