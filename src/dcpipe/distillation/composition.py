"""Which module implements which value of which axis: the only table a new method may have to grow.

Modules are loaded when a composition names them, and only then: code identity counts just those that the
resolved composition reaches.
"""

from importlib import import_module
from types import ModuleType

from dcpipe.params.coreset import Coreset
from dcpipe.params.method import Method
from dcpipe.params.trajectory import Trajectory

SELECTIONS = {
    "random": "dcpipe.distillation.coreset",
    "herding": "dcpipe.distillation.herding",
    "whole": "dcpipe.distillation.coreset",
}
MATCHINGS = {
    "trajectory": "dcpipe.distillation.matching.trajectory",
    "gradient": "dcpipe.distillation.matching.gradient",
    "distribution": "dcpipe.distillation.matching.distribution",
    "features": "dcpipe.distillation.matching.features",
}
PATHS = {"recorded": "dcpipe.experts.trajectory", "convex": "dcpipe.experts.convex_path"}
READERS = {"recorded": "Recorded", "convex": "Convex"}
AVERAGES = {"none": (), "ema": ("dcpipe.distillation.averaging",)}
INITIAL_IMAGES = {"real": (), "noise": (), "correct": ("dcpipe.distillation.correct_images",)}
LABELS = {
    "hard": "dcpipe.distillation.labels.hard",
    "learned": "dcpipe.distillation.labels.learned",
    "teacher": "dcpipe.distillation.labels.teacher",
}
HYPERGRADIENTS = {
    "exact": "dcpipe.distillation.hypergradient.exact",
    "unrolled": "dcpipe.distillation.hypergradient.unrolled",
    "truncated": "dcpipe.distillation.hypergradient.truncated",
    "per_step": "dcpipe.distillation.hypergradient.per_step",
}
SHARPNESS = {
    "none": "dcpipe.distillation.sharpness.none",
    "sam": "dcpipe.distillation.sharpness.sam",
    "gsam": "dcpipe.distillation.sharpness.gsam",
    "asam": "dcpipe.distillation.sharpness.asam",
    "vasso": "dcpipe.distillation.sharpness.vasso",
    "satm": "dcpipe.distillation.sharpness.satm",
}
COORDINATES = {"all": (), "pruned": ("dcpipe.distillation.pruning",)}


def modules(method: Method) -> tuple[str, ...]:
    """The modules that a resolved preset chooses."""
    if isinstance(method.matching, Coreset):
        return (SELECTIONS[method.matching.selection.kind],)
    assert method.outer is not None  # noqa: S101 (a matching has an outer loop)
    inner: tuple[str, ...] = ()
    if isinstance(method.matching, Trajectory):
        inner = (PATHS[method.matching.path.kind], HYPERGRADIENTS[method.matching.hypergradient.kind])
    return (
        "dcpipe.distillation.loop",
        MATCHINGS[method.matching.kind],
        *inner,
        SHARPNESS[method.outer.sharpness.kind],
        LABELS[method.outer.labels.kind],
        *INITIAL_IMAGES[method.outer.images.initial],
        *AVERAGES[method.outer.averaging.kind],
        *COORDINATES[method.outer.coordinates.kind],
    )


def load(module: str) -> ModuleType:
    """The module, imported now."""
    return import_module(module)
