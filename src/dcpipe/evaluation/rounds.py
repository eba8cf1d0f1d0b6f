"""What each network of an evaluation is trained on, one set after the other; it is tested after each."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dcpipe.distillation.synthetic_set import SyntheticSet

Rounds = Callable[[SyntheticSet], Sequence[SyntheticSet]]
"""A set -> the sets that each network is trained on in turn; the last one is the set itself, and counts."""


def finished_set_only(synthetic: SyntheticSet) -> Sequence[SyntheticSet]:
    """The set: networks are fresh."""
    return (synthetic,)


def unaveraged_first(synthetic: SyntheticSet) -> Sequence[SyntheticSet]:
    """The images before averaging, then their average; the set alone where it is no average.

    Source: the public code of FTD (arXiv:2211.11004), which tests the average with the networks that it has just
    trained on the images themselves.
    """
    if synthetic.unaveraged_NCHW is None:
        return (synthetic,)
    return replace(synthetic, images_NCHW=synthetic.unaveraged_NCHW), synthetic
