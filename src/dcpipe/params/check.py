"""Impossible combinations: what no single section can see, refused before anything is spent."""

from dcpipe.data.registry import FACTS
from dcpipe.errors import UserError
from dcpipe.experts.epochs import kept_epochs
from dcpipe.models import names
from dcpipe.params.compute import Compute
from dcpipe.params.dataset import Constants, Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experts import Experts
from dcpipe.params.method import Coreset, Method, Trajectory
from dcpipe.params.resolve import Resolved


def _at(resolved: Resolved, key: str) -> str:
    leaf = resolved.leaves[key]
    return f"{leaf.origin.file}: {leaf.origin.key}"


def fits(data: Dataset, network: str, where: str) -> None:
    """A network must be able to take images of this size."""
    name = names.parse(data.network if network == "native" else network)
    try:
        names.refuse_size(name, FACTS[data.source.kind].image_size)
    except UserError as error:
        raise UserError(error.what, where=where, remedy=error.remedy) from error


def refuse_compiled(resolved: Resolved, compute: Compute, what: str) -> None:
    """Where nothing is ever compiled, asking for it must not pass in silence."""
    if compute.backend == "compiled":
        where = _at(resolved, "compute.backend")
        raise UserError(f"has no effect on {what}", where=where, remedy="write eager")


def dataset(resolved: Resolved, data: Dataset) -> None:
    """Splits must leave training images, constants must fit the channels, and its network the images."""
    fits(data, "native", _at(resolved, "network"))
    facts = FACTS[data.source.kind]
    split = data.split
    if facts.smallest_class is not None:
        taken = split.test_per_class + split.validation_per_class + (split.train_per_class or 1)
        if taken > facts.smallest_class:
            what = f"asks for {taken} images a class in all; the rarest class has {facts.smallest_class}"
            raise UserError(what, where=_at(resolved, "split.test_per_class"), remedy="lower a count of the split")
    if isinstance(data.standardise, Constants):
        for key in ("mean", "std"):
            if len(getattr(data.standardise, key)) != facts.channels:
                raise UserError(
                    f"needs {facts.channels} numbers, one a channel",
                    where=_at(resolved, f"standardise.{key}"),
                )


def experts(resolved: Resolved, what: Experts, data: Dataset, shard: int) -> None:
    """Shards must be whole, so that asking for more experts leaves those that exist alone."""
    if what.count % what.shard_experts:
        remedy = f"make count a multiple of {what.shard_experts}"
        raise UserError(f"{what.count} experts do not fill whole shards", where=_at(resolved, "count"), remedy=remedy)
    if shard >= what.shards:
        raise UserError(f"there is no shard {shard}: {what.shards} are asked for", where=_at(resolved, "count"))
    refuse_compiled(resolved, what.compute, "experts")
    if what.network != "native":
        fits(data, what.network, _at(resolved, "network"))
    where, kept = _at(resolved, "kept_epochs"), kept_epochs(what.kept_epochs, what.epochs)
    if not kept:
        raise UserError(f"{what.kept_epochs} names no epoch", where=where, remedy="write a range upwards, as in 0-6")
    beyond = [epoch for epoch in kept if epoch > what.epochs]
    if beyond:
        raise UserError(f"epoch {beyond[0]} is never reached: there are {what.epochs}", where=where)


def method(resolved: Resolved, what: Method, data: Dataset, ipc: int) -> None:
    """A set takes its first images from the training part, and no knob may be without effect."""
    if isinstance(what.matching, Coreset):
        refuse_compiled(resolved, what.compute, "a coreset")
        if what.compute.threads != 1:
            where = _at(resolved, "compute.threads")
            raise UserError("has no effect on a coreset", where=where, remedy="write 1")
    elif what.matching.hypergradient.kind == "unrolled":
        refuse_compiled(resolved, what.compute, "the unrolled hypergradient")
    facts = FACTS[data.source.kind]
    if facts.smallest_class is None:
        return
    left = facts.smallest_class - data.split.test_per_class - data.split.validation_per_class
    left = min(left, data.split.train_per_class or left)
    if ipc > left:
        remedy = f"ask for at most {left}"
        raise UserError(f"{ipc} images a class are more than the training part has", where=resolved.file, remedy=remedy)


def segments(resolved: Resolved, what: Method, resolved_experts: Resolved, recorded: Experts) -> None:
    """Every epoch that a segment can start or end at must be reached and kept."""
    assert isinstance(what.matching, Trajectory)  # noqa: S101 (only trajectories name experts)
    segment = what.matching.segment
    last = segment.max_start_epoch - 1 + segment.span_epochs
    where = _at(resolved, "matching.segment.max_start_epoch")
    if last > recorded.epochs:
        remedy = f"lower max_start_epoch or span_epochs, or raise epochs in {resolved_experts.file}"
        raise UserError(
            f"segments end at epoch {last}, but experts train {recorded.epochs}", where=where, remedy=remedy
        )
    starts = range(segment.max_start_epoch)
    needed = {*starts, *(start + segment.span_epochs for start in starts)}
    missing = sorted(needed - set(kept_epochs(recorded.kept_epochs, recorded.epochs)))
    if missing:
        remedy = f"add it to kept_epochs in {resolved_experts.file}"
        raise UserError(f"epoch {missing[0]} is needed but not kept", where=where, remedy=remedy)


def evaluation(resolved: Resolved, what: Evaluation, data: Dataset, network: str) -> None:
    """The network must take the images, and selection on validation images needs some."""
    refuse_compiled(resolved, what.compute, "an evaluation")
    if network != "native":
        fits(data, network, resolved.file)
    if what.selection == "val-best" and data.split.validation_per_class == 0:
        remedy = "use a dataset variant with split.validation_per_class above 0"
        raise UserError(
            "val-best needs validation images and the dataset has none",
            where=_at(resolved, "selection"),
            remedy=remedy,
        )
