"""What trajectories take on disk, recorded against convex, and what preparing each dataset takes in memory."""

from collections.abc import Iterator, Sequence

from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.report.origins import Origins, Spent
from dcpipe.report.table import Column, Table, Value

FLOAT32 = 4  # bytes


def trajectories(spent: Sequence[Spent], sources: Origins) -> Table:
    """One row a store: every epoch as plain float32 (computed), what was recorded, and each convex path of it."""
    rows = [row for one in spent if one.stage == "experts" for row in _stores(one, spent, sources)]
    columns = (
        *(Column("dataset"), Column("experts"), Column("path"), Column("checkpoints", "count")),
        *(Column("on disk", "bytes"), Column("% of recorded", "points"), Column("% of every epoch", "points")),
    )
    caption = (
        "Bytes of the experts' trajectories, all shards together. Every epoch: experts x (epochs + 1) x parameters in "
        "float32, computed and not stored."
    )
    return Table("storage", caption, columns, tuple(rows))


def _stores(recorded: Spent, spent: Sequence[Spent], sources: Origins) -> Iterator[tuple[Value, ...]]:
    job = recorded.jobs[0]
    what, names = job.sections["experts"], (job.wildcards["dataset"], job.wildcards["experts"])
    assert isinstance(what, Experts)  # noqa: S101 (the graph put it there)
    experts = what.shard_experts * len(recorded.jobs)
    every = _every_epoch(recorded, experts * (what.epochs + 1), sources)
    if every is not None:
        yield *names, "every epoch", experts * (what.epochs + 1), every, _percent(every, recorded.bytes), 100.0
    kept = len(kept_epochs(what.kept_epochs, what.epochs))
    yield *names, "recorded", experts * kept, *_bytes(recorded, recorded, every)
    for one in spent:
        words = one.jobs[0].wildcards
        if one.stage == "convexify" and (words["dataset"], words["experts"]) == names:
            anchors = 2 + (0 if words["waypoints"] == "none" else words["waypoints"].count("-") + 1)
            path = f"convex, waypoints {words['waypoints']}"
            yield *names, path, experts * anchors, *_bytes(one, recorded, every)


def _every_epoch(recorded: Spent, checkpoints: int, sources: Origins) -> int | None:
    """Bytes of all checkpoints, by the number of parameters in a shard's card; None if no card is here."""
    for job in recorded.jobs:
        facts = (sources.card(job) or {}).get("facts")
        if isinstance(facts, dict) and isinstance(facts.get("parameters"), int):
            return checkpoints * FLOAT32 * int(facts["parameters"])
    return None


def _bytes(one: Spent, recorded: Spent, every: int | None) -> tuple[Value, Value, Value]:
    return (
        one.bytes if one.bytes is not None else "not here",
        _percent(one.bytes, recorded.bytes),
        _percent(one.bytes, every),
    )


def _percent(part: int | None, whole: int | None) -> float | None:
    return 100 * part / whole if part is not None and whole else None


def preparing(spent: Sequence[Spent]) -> Table:
    """One row a dataset and stage: what preparing it took."""
    rows = [
        (one.jobs[0].wildcards["dataset"], one.stage, one.peak_bytes, one.seconds, one.bytes or "not here")
        for one in spent
        if one.stage in {"data", "whiten"}
    ]
    columns = (Column("dataset"), Column("stage"), Column("peak memory", "bytes"), Column("time", "seconds"))
    caption = "Peak memory of preparing each dataset: of the whole process, libraries included."
    return Table("preparing", caption, (*columns, Column("on disk", "bytes")), tuple(sorted(rows)))
