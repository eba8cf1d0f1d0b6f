"""How much each class's own distance counts in an update, and how much that of all classes together."""

from collections.abc import Callable

Levels = Callable[[int, int], tuple[float, float]]
"""(iteration, update in it) -> weight of each class's own distance, weight of that of all classes together."""


def constant(intra: float, inter: float) -> Levels:
    """The same weights in every update. Source: arXiv:2208.00311, equations 4 to 6."""
    return lambda iteration, update: (intra, inter)  # noqa: ARG005 (the same in every update)


def alternating(inter: float) -> Levels:
    """Each class in one update, all classes together in the next. Source: arXiv:2208.00311, table 1."""
    return lambda iteration, update: (1.0, 0.0) if (iteration + update) % 2 == 0 else (0.0, inter)
