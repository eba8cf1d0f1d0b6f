"""Impossible combinations: what no single section can see, refused before anything is spent."""

from itertools import pairwise

from dcpipe.data.registry import facts
from dcpipe.errors import UserError
from dcpipe.experts.epochs import kept_epochs
from dcpipe.models import names
from dcpipe.params import check_labels, check_outer
from dcpipe.params.compute import Compute
from dcpipe.params.coreset import Coreset
from dcpipe.params.dataset import Constants, Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experts import Experts, Imported
from dcpipe.params.method import Method
from dcpipe.params.resolve import Resolved
from dcpipe.params.trajectory import ContinuousTime, ConvexPath, GrowingRange, RecordedPath, Trajectory, Unrolled


def _at(resolved: Resolved, key: str) -> str:
    return resolved.place(key)


def fits(data: Dataset, network: str, where: str) -> None:
    """A network must be able to take images of this size."""
    name = names.parse(data.network if network == "native" else network)
    try:
        names.refuse_size(name, facts(data).image_size)
    except UserError as error:
        raise UserError(error.what, where=where, remedy=error.remedy) from error


def refuse_compiled(resolved: Resolved, compute: Compute, what: str) -> None:
    """Where nothing is ever compiled, asking for it must not pass in silence."""
    if compute.backend == "compiled":
        where = _at(resolved, "compute.backend")
        raise UserError(f"has no effect on {what}", where=where, remedy="write eager")


def dataset(resolved: Resolved, data: Dataset) -> None:
    """A test part must come from somewhere, splits must leave training images, constants must fit the channels."""
    known, split = facts(data), data.split
    _refuse_test_part(resolved, data)
    left = training_images(data)
    if left is not None and left < (split.train_per_class or 1):
        taken = (split.test_per_class or 0) + split.validation_per_class + (split.train_per_class or 1)
        what = f"asks for {taken} images a class in all; the rarest class has {known.smallest_class}"
        raise UserError(what, where=_at(resolved, _first_count(resolved, data)), remedy="lower a count of the split")
    if isinstance(data.standardise, Constants):
        for key in ("mean", "std"):
            if len(getattr(data.standardise, key)) != known.channels:
                raise UserError(
                    f"needs {known.channels} numbers, one a channel",
                    where=_at(resolved, f"standardise.{key}"),
                    remedy="write as many, or kind: from-train",
                )
    fits(data, data.network, _at(resolved, "network"))


def _first_count(resolved: Resolved, data: Dataset) -> str:
    """The key to look at: a variant's own count rather than its base's."""
    counts = ("test_per_class", "validation_per_class", "train_per_class")
    given = [f"split.{name}" for name in counts if getattr(data.split, name)]
    own = [key for key in given if resolved.owns(key)]
    return (own or given)[0]


def _refuse_test_part(resolved: Resolved, data: Dataset) -> None:
    given, where = data.split.test_per_class, _at(resolved, "split.test_per_class")
    if facts(data).own_test and given is not None:
        raise UserError("this source comes with a test part, and all of it is used", where=where, remedy="write null")
    if not facts(data).own_test and given is None:
        remedy = "say how many images of each class are for test"
        raise UserError("this source has no test part of its own", where=where, remedy=remedy)


def training_images(data: Dataset) -> int | None:
    """How many images of the rarest class are left to train on; None where only reading the source tells."""
    smallest = facts(data).smallest_class
    if smallest is None:
        return None
    left = smallest - (data.split.test_per_class or 0) - data.split.validation_per_class
    return min(left, data.split.train_per_class or left)


def experts(resolved: Resolved, what: Experts, data: Dataset, shard: int) -> None:
    """Shards must be whole, so that asking for more experts leaves those that exist alone."""
    if what.count % what.shard_experts:
        remedy = f"make count a multiple of {what.shard_experts}"
        raise UserError(f"{what.count} experts do not fill whole shards", where=_at(resolved, "count"), remedy=remedy)
    if shard >= what.shards:
        raise UserError(f"there is no shard {shard}: {what.shards} are asked for", where=_at(resolved, "count"))
    if what.store.codec == "none" and what.store.level:
        where = _at(resolved, "store.level")
        raise UserError("has no effect without a codec", where=where, remedy="write 0, or choose a codec")
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
    elif isinstance(what.matching, Trajectory):
        refuse_whole_batches(resolved, what.matching, ipc * facts(data).classes)
        if what.matching.hypergradient.kind == "unrolled":
            refuse_compiled(resolved, what.compute, "the unrolled hypergradient")
    check_outer.outer(resolved, what, ipc * facts(data).classes)
    check_labels.labels(resolved, what)
    left = training_images(data)
    if left is not None and ipc > left:
        remedy = f"ask for at most {left}"
        raise UserError(f"{ipc} images a class are more than the training part has", where=resolved.file, remedy=remedy)


def refuse_whole_batches(resolved: Resolved, what: Trajectory, images: int) -> None:
    """A batch that holds all there is cuts nothing; null says so."""
    limits = {"matching.inner_batch": (what.inner_batch, f"the whole set of {images}")}
    if not isinstance(what.hypergradient, Unrolled):
        batch = what.inner_batch or images
        whole = f"every inner step's batch of {batch}"
        limits["matching.hypergradient.micro_batch"] = (what.hypergradient.micro_batch, whole)
    for key, (given, whole) in limits.items():
        least = int(whole.rsplit(" ", 1)[1])
        if given is not None and given >= least:
            told = f"has no effect: {given} images hold {whole}"
            raise UserError(told, where=_at(resolved, key), remedy="write null, or less")


def batch_norm(resolved: Resolved, what: Method, network: str, recorded: Experts) -> None:
    """Images of a batch that normalise each other cannot be cut apart; features need statistics that were recorded."""
    if not names.has_running_statistics(network):
        return
    if isinstance(what.matching, Coreset):
        if isinstance(recorded.origin, Imported):
            told = f"published experts hold no running statistics, which the features of {network} need"
            remedy = "name experts that are trained here, or of a network without batch norm"
            raise UserError(told, where=_at(resolved, "matching.selection.experts"), remedy=remedy)
        return
    kind = what.matching.hypergradient if isinstance(what.matching, Trajectory) else None
    if kind is not None and not isinstance(kind, Unrolled) and kind.micro_batch is not None:
        told = f"{network} has batch norm: the images of a batch influence each other and cannot be cut apart"
        raise UserError(told, where=_at(resolved, "matching.hypergradient.micro_batch"), remedy="write null")


def segments(resolved: Resolved, what: Method, resolved_experts: Resolved, recorded: Experts) -> None:
    """Every time that a segment can start or end at must be reached, and on a recorded path kept."""
    if not isinstance(what.matching, Trajectory):
        return
    segment, path = what.matching.segment, what.matching.path
    continuous = isinstance(segment, ContinuousTime)
    if isinstance(segment, GrowingRange) and what.outer and segment.growth_iterations > what.outer.iterations:
        told = f"the range would still grow after the last of {what.outer.iterations} iterations"
        where, remedy = _at(resolved, "matching.segment.growth_iterations"), f"write at most {what.outer.iterations}"
        raise UserError(told, where=where, remedy=remedy)
    last = segment.max_start_epoch + segment.span_epochs - (0 if continuous else 1)
    where = _at(resolved, "matching.segment.max_start_epoch")
    if last > recorded.epochs:
        remedy = f"lower max_start_epoch or span_epochs, or raise epochs in {resolved_experts.file}"
        what_happens = f"segments end at epoch {last}, but experts train {recorded.epochs}"
        raise UserError(what_happens, where=where, remedy=remedy)
    if continuous and isinstance(path, RecordedPath):
        remedy = "use a convex path, or a fixed range"
        raise UserError(
            "times between epochs need a convex path", where=_at(resolved, "matching.path.kind"), remedy=remedy
        )
    if isinstance(path, ConvexPath):
        waypoints(resolved_experts, recorded, path.name)
        return
    starts = range(0 if isinstance(segment, ContinuousTime) else segment.min_start_epoch, segment.max_start_epoch)
    needed = {*starts, *(start + segment.span_epochs for start in starts)}
    missing = sorted(needed - set(kept_epochs(recorded.kept_epochs, recorded.epochs)))
    if missing:
        remedy = f"add it to kept_epochs in {resolved_experts.file}"
        raise UserError(f"epoch {missing[0]} is needed but not kept", where=where, remedy=remedy)


def waypoints(resolved: Resolved, recorded: Experts, name: str) -> None:
    """The epochs of a convex path must increase between the first and the last, and be kept."""
    where = _at(resolved, "kept_epochs")
    epochs = [0, *([] if name == "none" else map(int, name.split("-"))), recorded.epochs]
    if any(after <= before for before, after in pairwise(epochs)):
        remedy = f"name increasing epochs between 0 and {recorded.epochs}"
        raise UserError(
            f"waypoints {name} do not increase on the way to epoch {recorded.epochs}", where=where, remedy=remedy
        )
    missing = sorted(set(epochs) - set(kept_epochs(recorded.kept_epochs, recorded.epochs)))
    if missing:
        raise UserError(f"epoch {missing[0]} is needed by a convex path but not kept", where=where, remedy="keep it")


def evaluation(resolved: Resolved, what: Evaluation, data: Dataset, network: str) -> None:
    """The network must take the images, and selection on validation images needs some."""
    refuse_compiled(resolved, what.compute, "an evaluation")
    if network != "native":
        fits(data, network, resolved.file)
    if what.side_by_side > what.networks:
        told = f"{what.side_by_side} side by side are more networks than there are"
        raise UserError(told, where=_at(resolved, "side_by_side"), remedy=f"write at most {what.networks}")
    if data.split.validation_per_class == 0:
        choices = {
            "selection": what.selection == "val-best",
            "learning_rate.kind": what.learning_rate.kind == "searched",
        }
        for key in (key for key, needs in choices.items() if needs):
            leaf = resolved.leaves[key]
            remedy = "use a dataset variant with split.validation_per_class above 0"
            told = f"{leaf.value} needs validation images and the dataset has none"
            raise UserError(told, where=_at(resolved, key), remedy=remedy)
