"""How params name an augmentation: DSA families joined by `_`, or none.

Networks that are tested may also be trained with augmentations that are not differentiable. Of these DC's has a short
form, too: `one-of-crop-scale-rotate` does one of its operations to each image.
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


def check_operations(operations: list[str]) -> list[str]:
    """The operations themselves. Raises: ValueError (for pydantic) if one is unknown or stands twice, or none does."""
    for operation in operations or [""]:
        if operation not in OPERATIONS:
            raise ValueError(f"{operation!r} is none of DC's operations; name some of {', '.join(OPERATIONS)}")
        if operations.count(operation) > 1:
            raise ValueError(f"{operation!r} is named twice; name it once")
    return operations


def expand_short_form(text: str) -> dict[str, object]:
    """What a protocol's augmentation in short stands for: DSA families joined by _, or `one-of-` and DC's operations.

    Raises: ValueError (for pydantic) if a family or operation is unknown or stands twice.
    """
    if text.startswith(ONE_OF):
        return {"kind": "one-of", "operations": check_operations(text.removeprefix(ONE_OF).split("-"))}
    return {"kind": "dsa", "families": check(text)}
