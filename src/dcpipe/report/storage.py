"""Trajectories on disk, recorded against convex, and the memory that preparing each dataset takes."""

from collections.abc import Iterator, Sequence

from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.waypoints import Waypoints
from dcpipe.provenance.card_fields import facts_of
from dcpipe.report.origins import Lineage, StageCost
from dcpipe.report.table import Column, Table, Value

FLOAT32 = 4  # bytes


def trajectory_table(costs: Sequence[StageCost], sources: Lineage) -> Table:
    """One row a store: every epoch as plain float32 (computed), the recorded store, and each convex path of it."""
    rows = [row for one in costs if one.stage == "experts" for row in _store_rows(one, costs, sources)]
    columns = (
        *(Column("dataset"), Column("experts"), Column("path"), Column("checkpoints", "count")),
        *(Column("on disk", "bytes"), Column("% of recorded", "points"), Column("% of every epoch", "points")),
    )
    caption = (
        "Bytes of the experts' trajectories, all shards together. Every epoch: experts x (epochs + 1) x parameters in "
        "float32, computed and not stored."
    )
    return Table("storage", caption, columns, tuple(rows))


def _store_rows(recorded: StageCost, costs: Sequence[StageCost], sources: Lineage) -> Iterator[tuple[Value, ...]]:
    job = recorded.jobs[0]
    config, names = job.section("experts", Experts), (job.wildcards["dataset"], job.wildcards["experts"])
    experts = config.shard_experts * len(recorded.jobs)
    every = _every_epoch(recorded, experts * (config.epochs + 1), sources)
    if every is not None:
        yield *names, "every epoch", experts * (config.epochs + 1), every, _percent(every, recorded.bytes), 100.0
    kept = len(kept_epochs(config.kept_epochs, config.epochs))
    yield *names, "recorded", experts * kept, *_size_columns(recorded, recorded, every)
    for one in costs:
        wildcards = one.jobs[0].wildcards
        if one.stage == "convexify" and (wildcards["dataset"], wildcards["experts"]) == names:
            waypoints = wildcards["waypoints"]
            anchors = Waypoints.parse(waypoints).num_anchors
            path = f"convex, waypoints {waypoints}"
            yield *names, path, experts * anchors, *_size_columns(one, recorded, every)


def _every_epoch(recorded: StageCost, checkpoints: int, sources: Lineage) -> int | None:
    """Bytes of all checkpoints, by the number of parameters in a shard's card; None if no card is here."""
    for job in recorded.jobs:
        parameters = facts_of(sources.card(job) or {}).get("parameters")
        if parameters is not None:
            return checkpoints * FLOAT32 * parameters.integer()
    return None


def _size_columns(cost: StageCost, recorded: StageCost, every: int | None) -> tuple[Value, Value, Value]:
    return (
        cost.bytes if cost.bytes is not None else "not here",
        _percent(cost.bytes, recorded.bytes),
        _percent(cost.bytes, every),
    )


def _percent(part: int | None, whole: int | None) -> float | None:
    return 100 * part / whole if part is not None and whole else None


def preparation_table(costs: Sequence[StageCost]) -> Table:
    """One row per dataset and stage: memory, time and disk."""
    rows = [
        (one.jobs[0].wildcards["dataset"], one.stage, one.peak_bytes, one.seconds, one.bytes or "not here")
        for one in costs
        if one.stage in {"data", "whiten"}
    ]
    columns = (Column("dataset"), Column("stage"), Column("peak memory", "bytes"), Column("time", "seconds"))
    caption = "Peak memory of preparing each dataset: of the whole process, libraries included."
    return Table("preparing", caption, (*columns, Column("on disk", "bytes")), tuple(sorted(rows)))
