"""Where images come from: one module a kind of source, and what is known of it before anything is read."""

from dataclasses import dataclass

SOURCES = {"digits": "dcpipe.data.digits"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What planning needs to know of a source: shape, classes, and images a class where that is fixed."""

    classes: int
    channels: int
    image_size: int
    smallest_class: int | None  # images of the rarest class, all splits together


FACTS = {"digits": Facts(classes=10, channels=1, image_size=8, smallest_class=174)}
