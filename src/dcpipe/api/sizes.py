"""An experiment sized to images that somebody gives: its dataset, experts and preset as params files.

The sizes follow from the images and the minutes alone, by the cost model of `dcpipe new` at the speed of a usual
machine with two cores: the same call gives the same sizes everywhere. Small grey images begin with the values that the
presets have for digits, images in colour with those that `dcpipe new` writes for photographs.
"""

from collections.abc import Mapping
from pathlib import Path

from dcpipe.api.labelled_images import LabelledImages
from dcpipe.api.workspace import Workspace
from dcpipe.commands.new import sizing
from dcpipe.commands.new.sizing import Design, Speed, TimeBudget
from dcpipe.commands.new.survey import Survey
from dcpipe.data.problems import Problems
from dcpipe.errors import UserError
from dcpipe.params.network_name import parse
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.strict_yaml import Tree, Value
from dcpipe.params.trees import nested
from dcpipe.workflow.machine import Machine

CORES = 2
LAST_EPOCH = 6  # of the segments that the presets match on digits
PHOTOGRAPHS: Mapping[str, Value] = {  # as `dcpipe new` writes them for trajectory matching
    "outer.images.optimiser.learning_rate": 1000.0,
    "outer.step_size.initial": 2.0e-2,
    "outer.step_size.optimiser.learning_rate": 1.0e-6,
}
PHOTOGRAPH_EXPERTS: Tree = {"learning_rate": 1.0e-2, "augmentation": "color_crop_cutout_flip_scale_rotate"}
REAL_BATCHES = ("matching.real_batch", "matching.updates.real_batch", "matching.training.real_batch")


def networks_for(image_size: int) -> tuple[str, str]:
    """The network that papers take for images of so many pixels per side, and the same of half the width."""
    depth = min(5, max(2, (image_size // 4).bit_length() - 1))
    return f"convnet{depth}", f"convnet{depth}-w64"


def usual_speed(network: str, images: LabelledImages) -> Speed:
    """Seconds that a training step takes per image on a usual machine."""
    size = parse(network).size(channels=images.channels, image_size=images.image_size, classes=images.classes)
    machine = Machine()

    def seconds_per_image(batch: int) -> float:
        step = size.gradient_work(batch)
        return (step.calls * machine.seconds_per_call + step.operations / machine.operations_per_second) / batch

    return Speed(seconds_per_image(sizing.SMALL_BATCH), seconds_per_image(sizing.LARGE_BATCH))


def design_of(images: LabelledImages, minutes: float, network: str | None) -> Design:
    """The largest design that a usual machine makes in so many minutes; the smallest if none."""
    counts = {str(label): count for label, count in enumerate(images.counts)}
    tested = {"0": min(sizing.MAX_TESTED, *images.counts)}
    found = Survey(Path(), counts, tested, images.channels, (images.image_size,), Problems())
    allowance = TimeBudget(60 * minutes, CORES)
    for name in (network,) if network else networks_for(images.image_size):
        speed = usual_speed(name, images)
        design = sizing.design_for(found, images.image_size, name, speed, allowance)
        if sizing.fits(design, speed, allowance):
            break
    return design


def dataset_tree(images: LabelledImages, source: str, digest: str, network: str, trained: int | None) -> Tree:
    """The params of a dataset of arrays, all of them to train on."""
    return {
        "base": "digits",
        "description": f"{len(images.labels_N):,} images of {images.classes} classes, given as tensors.",
        "source": {
            "kind": "folder",
            "name": source,
            "classes": images.classes,
            "channels": images.channels,
            "image_size": images.image_size,
            "digest": digest,
        },
        "split": {"seed": 0, "test_per_class": 0, "validation_per_class": 0, "train_per_class": trained},
        "standardise": {"kind": "from-train"},
        "whitening": {"kind": "none"},
        "network": network,
    }


def method_changes(
    workspace: Workspace, method: str, dataset: str, ipc: int, design: Design, images: LabelledImages
) -> Tree:
    """What a preset must say otherwise for these images; empty if nothing."""
    resolved, config = workspace.graph().library.method(method, dataset, ipc)
    changes: dict[str, Value] = {}
    leaves = {key: leaf.value for key, leaf in resolved.leaves.items()}
    for key in ("matching.experts", "matching.selection.experts"):
        if key in leaves:
            changes[key] = workspace.define("experts", _experts_tree(str(leaves[key]), design, images), stem="experts")
    if config.outer:
        longer = max(1, design.distribution_iterations // Design.distribution_iterations)
        changes |= _scale_iterations(leaves, longer)
    if config.matching.kind == "trajectory" and images.channels == 3:
        changes |= {key: value for key, value in PHOTOGRAPHS.items() if key in leaves}
    if "matching.augmentation" in leaves and images.channels == 3:
        colour = workspace.graph().library.method(method, "cifar10", ipc)[0]
        changes["matching.augmentation"] = colour.leaves["matching.augmentation"].value
    changes |= _fit_to_design(leaves, design, ipc)
    return nested({key: value for key, value in changes.items() if leaves[key] != value})


def _experts_tree(base: str, design: Design, images: LabelledImages) -> Tree:
    tree: Tree = {
        "base": base,
        "description": "Experts of a few short epochs, sized to the images.",
        "count": design.experts,
        "shard_experts": 1,
        "epochs": max(LAST_EPOCH, design.epochs),
        "kept_epochs": "all",
        "batch": design.batch,
    }
    return {**tree, **PHOTOGRAPH_EXPERTS} if images.channels == 3 else tree


def _scale_iterations(leaves: Mapping[str, Value], longer: int) -> dict[str, Value]:
    """Iterations, and what is counted in them, so many times as long."""
    iterations = longer * int(str(leaves["outer.iterations"]))
    changes: dict[str, Value] = {"outer.iterations": iterations, "outer.snapshot_every": iterations}
    if "matching.segment.growth_iterations" in leaves:
        changes["matching.segment.growth_iterations"] = longer * int(str(leaves["matching.segment.growth_iterations"]))
    return changes


def _fit_to_design(leaves: Mapping[str, Value], design: Design, ipc: int) -> dict[str, Value]:
    """Batches that are no larger than what they are drawn from; the last epoch of the experts as a teacher."""
    changes: dict[str, Value] = {}
    inner_batch = leaves.get("matching.inner_batch")
    if isinstance(inner_batch, int) and inner_batch >= ipc * design.classes:
        changes["matching.inner_batch"] = None
    for key in REAL_BATCHES:
        batch = leaves.get(key)
        if isinstance(batch, int):
            changes[key] = min(batch, design.trained)
    if "matching.layer_weights" in leaves:
        changes["matching.layer_weights"] = fit_layer_weights(leaves["matching.layer_weights"], design.network)
    if "outer.labels.teacher.epoch" in leaves:
        changes["outer.labels.teacher.epoch"] = max(LAST_EPOCH, design.epochs)
    return changes


def fit_layer_weights(weights: Value, network: str) -> Value:
    """Weights of a network's blocks and features: the last block's and the features' as they are, 0.1 before."""
    blocks = parse(network).num_blocks
    return [*([0.1] * (blocks - 1)), *weights[-2:]] if isinstance(weights, list) and blocks else weights


def with_changes(tree: Tree, params: Mapping[str, object] | None, *, above: str = "") -> Tree:
    """A tree with a person's own values over it; keys may be dotted. Raises: UserError for what is no value of YAML."""
    merged: Tree = dict(tree)
    for key, value in (params or {}).items():
        if not isinstance(key, str) or not key:
            raise UserError(
                f"{key!r} is not a key", where="params", remedy='write for example {"outer.iterations": 200}'
            )
        head, _, rest = key.partition(".")
        below: object = {rest: value} if rest else value
        if isinstance(below, Mapping):
            inside = merged.get(head)
            merged[head] = with_changes(inside if isinstance(inside, dict) else {}, below, above=f"{above}{head}.")
        else:
            merged[head] = _value(f"{above}{key}", below)
    return merged


def _value(key: str, value: object) -> Value:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_value(key, one) for one in value]
    raise UserError(f"{key} is {type(value).__name__}", where="params", remedy="write int, float, str, list or None")


def variant_tree(resolved: ResolvedSection, base: str, tree: Tree) -> Tree:
    """A variant of a preset with its description and label."""
    texts = {key: resolved.leaves[key].value for key in ("description", "label")}
    return {"base": base, **texts, **tree}


def define_variant(
    workspace: Workspace, method: str, dataset: str, ipc: int, changes: Tree, params: Mapping[str, object] | None
) -> str:
    """The name of a preset with changes; the preset's own if there are none."""
    tree = with_changes(changes, params)
    if not tree:
        return method
    resolved, _ = workspace.graph().library.method(method, dataset, ipc)
    return workspace.define("methods", variant_tree(resolved, method, tree), stem=method)
