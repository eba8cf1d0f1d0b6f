"""Where images come from: the module that reads each kind of source, and what is known of it beforehand.

Planning imports this module, and no stage does: a new source must not alter the identity of what exists.
"""

from dcpipe.data.facts import Facts
from dcpipe.params.dataset import Dataset, FolderSource, ImageNetSource

SOURCES = {
    "digits": "dcpipe.data.digits",
    "mnist": "dcpipe.data.torchvision_sets",
    "fashion-mnist": "dcpipe.data.torchvision_sets",
    "svhn": "dcpipe.data.torchvision_sets",
    "cifar10": "dcpipe.data.torchvision_sets",
    "cifar100": "dcpipe.data.torchvision_sets",
    "tiny-imagenet": "dcpipe.data.tiny_imagenet",
    "imagenet": "dcpipe.data.imagenet",
    "folder": "dcpipe.data.folder",
}

FACTS = {
    "digits": Facts(classes=10, channels=1, image_size=8, smallest_class=174, own_test=False),
    "mnist": Facts(classes=10, channels=1, image_size=28, smallest_class=5421, own_test=True),  # the fives
    "fashion-mnist": Facts(classes=10, channels=1, image_size=28, smallest_class=6000, own_test=True),
    "svhn": Facts(classes=10, channels=3, image_size=32, smallest_class=4659, own_test=True),  # the nines
    "cifar10": Facts(classes=10, channels=3, image_size=32, smallest_class=5000, own_test=True),
    "cifar100": Facts(classes=100, channels=3, image_size=32, smallest_class=500, own_test=True),
    "tiny-imagenet": Facts(classes=200, channels=3, image_size=64, smallest_class=500, own_test=True, minutes=60),
}


def facts(what: Dataset) -> Facts:
    """What is known of a dataset; for a folder and for ImageNet partly from its params."""
    source = what.source
    if isinstance(source, ImageNetSource):
        every = source.classes == "all"
        return Facts(
            classes=source.num_classes,
            channels=3,
            image_size=source.image_size,
            smallest_class=732 if every else 1300,  # ILSVRC 2012 has 732 to 1,300 training images a class
            own_test=True,
            minutes=1440 if every else 120,
        )
    if isinstance(source, FolderSource):
        return Facts(
            classes=source.classes,
            channels=source.channels,
            image_size=source.image_size,
            smallest_class=None,
            own_test=what.split.test_per_class is None,
            minutes=240,
        )
    return FACTS[source.kind]
