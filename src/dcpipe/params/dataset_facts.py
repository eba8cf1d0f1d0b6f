"""What planning knows of a dataset before a byte of it is read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Shape and classes; what a source turns out to hold is compared with them.

    `smallest_class` counts the rarest class of what the split cuts from: of all images or, where the source has a
    test part of its own, of its training part. For a choice of ImageNet's classes it is what no class exceeds; None
    where only reading tells.
    """

    classes: int
    channels: int
    image_size: int  # pixels per side; images are square
    smallest_class: int | None
    has_test_part: bool  # whether the source comes with a test part
    minutes: int = 10  # how long preparing it may take
