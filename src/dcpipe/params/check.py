"""Impossible combinations, refused before anything is spent: each value's checks, and what no value sees alone."""

from dcpipe.errors import UserError
from dcpipe.params.axis import AxisValue, Need, ValueLocation, axis_values_in
from dcpipe.params.dataset import Dataset, DatasetContext, DatasetValue
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.evaluation import Evaluation, EvaluationContext, EvaluationValue
from dcpipe.params.experts import Experts, ExpertsContext, ExpertsValue
from dcpipe.params.method_axes import MethodContext, MethodValue
from dcpipe.params.network_name import parse, refuse_image_size
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.waypoints import refuse_bad_waypoints

__all__ = ["dataset", "evaluation", "experts", "method", "refuse_bad_waypoints"]


def dataset(resolved: ResolvedSection, config: Dataset) -> None:
    """A test part must come from somewhere, splits must leave training images, constants must fit the channels."""
    known, split = config.facts, config.split
    _refuse_bad_test_split(resolved, config)
    left = config.train_images_per_class
    if left is not None and left < (split.train_per_class or 1):
        taken = (split.test_per_class or 0) + split.validation_per_class + (split.train_per_class or 1)
        problem = f"takes {taken} images of each class, but the rarest class has {known.smallest_class}"
        where = resolved.location_of(_split_count_key(resolved, config))
        raise UserError(problem, where=where, remedy="lower one of the counts of split")
    context = DatasetContext(resolved, config, known)
    for key, value in axis_values_in(config):
        if isinstance(value, DatasetValue):
            value.check(ValueLocation(resolved, key), context)
    _refuse_size(config.network, known, resolved.location_of("network"))


def _split_count_key(resolved: ResolvedSection, config: Dataset) -> str:
    """The key to look at: a variant's own count rather than its base's."""
    counts = ("test_per_class", "validation_per_class", "train_per_class")
    stated = [f"split.{name}" for name in counts if getattr(config.split, name)]
    own = [key for key in stated if resolved.owns(key)]
    return (own or stated)[0]


def _refuse_bad_test_split(resolved: ResolvedSection, config: Dataset) -> None:
    test_per_class, where = config.split.test_per_class, resolved.location_of("split.test_per_class")
    if config.facts.has_test_part and test_per_class is not None:
        raise UserError(
            "this source has a test part of its own, all of which is used", where=where, remedy="write null"
        )
    if not config.facts.has_test_part and test_per_class is None:
        remedy = "write how many images of each class to test on"
        raise UserError("this source has no test part of its own", where=where, remedy=remedy)


def experts(resolved: ResolvedSection, config: Experts, facts: DatasetFacts, shard: int) -> None:
    """Shards must be whole, so that asking for more experts leaves those that exist alone; kept epochs are reached."""
    where = resolved.location_of("count")
    if config.count % config.shard_experts:
        remedy = f"make count a multiple of {config.shard_experts}"
        raise UserError(f"{config.count} experts do not fill whole shards", where=where, remedy=remedy)
    if shard >= config.num_shards:
        remedy = f"name a shard from 0 to {config.num_shards - 1}"
        raise UserError(
            f"there is no shard {shard}: these experts have {config.num_shards}", where=where, remedy=remedy
        )
    if config.store.codec == "none" and config.store.level:
        where = resolved.location_of("store.level")
        raise UserError("has no effect without a codec", where=where, remedy="write 0, or choose a codec")
    if config.network != "native":
        _refuse_size(config.network, facts, resolved.location_of("network"))
    where, kept = resolved.location_of("kept_epochs"), kept_epochs(config.kept_epochs, config.epochs)
    if not kept:
        raise UserError(
            f"{config.kept_epochs} names no epoch", where=where, remedy="write an ascending range, such as 0-6"
        )
    beyond = [epoch for epoch in kept if epoch > config.epochs]
    if beyond:
        problem = f"epoch {beyond[0]} is never reached: training ends at epoch {config.epochs}"
        raise UserError(problem, where=where, remedy=f"keep epochs up to {config.epochs}")
    context = ExpertsContext(resolved, config)
    for key, value in axis_values_in(config):
        if isinstance(value, ExpertsValue):
            value.check(ValueLocation(resolved, key), context)


def method(context: MethodContext) -> None:
    """Every value's needs and checks; a set takes its first images from the training part."""
    _refuse_idle_optimisers(context)
    for key, value in axis_values_in(context.method):
        at = ValueLocation(context.resolved, key)
        for need in sorted(value.needs - context.method.matching.provides, key=lambda need: need.value):
            _refuse_need(at, value, need, context.method.matching.kind)
        if isinstance(value, MethodValue):
            value.check(at, context)
    left = context.dataset.train_images_per_class
    if left is not None and context.ipc > left:
        problem = f"{context.ipc} images per class are more than the training part has"
        raise UserError(problem, where=context.resolved.file, remedy=f"ask for at most {left}")


def _refuse_idle_optimisers(context: MethodContext) -> None:
    """What is learned must move; a step size and labels that shall stay are fixed."""
    outer = context.method.outer
    if outer is None:
        return
    optimisers = {
        "images": outer.images.optimiser,
        "step_size": outer.step_size.learning_optimiser,
        "labels": outer.labels.learning_optimiser,
    }
    for part, optimiser in optimisers.items():
        if optimiser and optimiser.moves_nothing:
            remedy = "raise it" if part == "images" else f"raise it, or write outer.{part}.kind: fixed"
            where = context.resolved.location_of(f"outer.{part}.optimiser.learning_rate")
            raise UserError("a learning rate of 0 learns nothing", where=where, remedy=remedy)


def _refuse_need(location: ValueLocation, value: AxisValue, need: Need, matching: str) -> None:
    problem = f"{value.kind} has no effect here: it needs {need.value}, which {matching} matching does not have"
    raise location.error("kind", problem, "choose another kind")


def evaluation(resolved: ResolvedSection, config: Evaluation, data: Dataset, network: str) -> None:
    """The network must take the images, and selection on validation images needs some."""
    if network != "native":
        _refuse_size(network, data.facts, resolved.file)
    if config.side_by_side > 1 and config.compute.backend == "analytic":
        problem, where = "networks side by side have no analytic gradients", resolved.location_of("compute.backend")
        raise UserError(problem, where=where, remedy="write eager, or side_by_side: 1")
    if config.side_by_side > config.networks:
        problem = f"{config.side_by_side} networks side by side are more than the {config.networks} that are trained"
        where = resolved.location_of("side_by_side")
        raise UserError(problem, where=where, remedy=f"write at most {config.networks}")
    context = EvaluationContext(resolved, config, data)
    for key, value in axis_values_in(config):
        if isinstance(value, EvaluationValue):
            value.check(ValueLocation(resolved, key), context)


def _refuse_size(network: str, facts: DatasetFacts, where: str) -> None:
    refuse_image_size(parse(network), facts.image_size, where)
