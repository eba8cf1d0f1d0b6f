"""The comparison with a named reference: one row for each method and network, and one over all networks.

What a paper needs to say that a method does better: the same dataset, images per class, protocol and networks for both,
the standard error of the difference, and a tie called a tie.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.experiment import Experiment
from dcpipe.report.baseline import BASELINE
from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.comparison import Difference, networks_difference
from dcpipe.report.published import WHOLE
from dcpipe.report.table import Column, Table, Value
from dcpipe.report.tables import reference_label
from dcpipe.workflow.job import Job

ALL = "all {count} networks"


def reference_table(cells: Sequence[Cell], reference: str = BASELINE) -> Table | None:
    """How far every cell is above the reference's; None if it has no cell beside another method's.

    Rows over all networks average the networks that both methods were tested with.
    """
    rows = [row for group in _groups(cells) for row in _rows(group, reference)]
    if not rows:
        return None
    label = reference_label(reference, cells)
    columns = (
        *(Column("dataset"), Column("ipc", "count"), Column("protocol"), Column("selection"), Column("network")),
        *(Column("method"), Column("accuracy", "points"), Column(label, "points"), Column("difference", "points")),
        *(
            Column("standard error", "number"),
            Column("in standard errors", "points"),
            Column("over"),
            Column("verdict"),
        ),
    )
    caption = (
        f"Difference to {label} in points of test accuracy. A tie is less than two standard errors of the difference, "
        "either way. Over sets, each set counts once, by its mean; over networks, where a side has one set, the "
        "spread between sets is left out. Rows over all networks average those that both were tested with."
    )
    return Table(f"comparison-{reference}", caption, columns, tuple(rows))


def experiment_reference_table(job: Job, root: Path, reference: str | None = None) -> Table:
    """The table of an experiment's report, with its own reference or another one.

    Raises: UserError if the experiment does not have the method, or nothing beside it.
    """
    experiment, cells = job.section("experiment", Experiment), gather_cells(job, root)
    chosen = reference or experiment.reference
    methods = sorted({cell.method for cell in cells})
    if chosen not in methods:
        problem = f"{chosen} is not a method of this experiment"
        raise UserError(
            problem, where=job.wildcards["experiment"], remedy=f"name one of {', '.join(methods)} with --to"
        )
    found = reference_table(cells, chosen)
    if found is None:
        problem = f"nothing else was evaluated with the dataset, images per class and protocol of {chosen}"
        raise UserError(problem, where=job.wildcards["experiment"], remedy="add another method to one of its runs")
    return found


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells that differ in method and network alone."""
    groups: dict[tuple[str, int, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.dataset, cell.ipc, cell.protocol, cell.selection), []).append(cell)
    return list(groups.values())


def _rows(group: Sequence[Cell], reference: str) -> Iterator[tuple[Value, ...]]:
    theirs = {cell.network: cell for cell in group if cell.method == reference}
    for method in dict.fromkeys(cell.method for cell in group if cell.method not in {reference, WHOLE}):
        ours = {cell.network: cell for cell in group if cell.method == method and cell.network in theirs}
        for network, cell in ours.items():
            yield _row([cell], [theirs[network]], network)
        if len(ours) > 1:
            yield _row(list(ours.values()), [theirs[name] for name in ours], ALL.format(count=len(ours)))


def _row(ours: Sequence[Cell], theirs: Sequence[Cell], network: str) -> tuple[Value, ...]:
    gap = networks_difference(
        {cell.network: cell.scores for cell in ours}, {cell.network: cell.scores for cell in theirs}
    )
    cell, mean = ours[0], sum(one.mean for one in theirs) / len(theirs)
    return (
        *(cell.dataset, cell.ipc, cell.protocol, cell.selection, network, cell.label),
        *(mean + gap.points, mean, *_difference(gap)),
    )


def _difference(gap: Difference) -> tuple[Value, ...]:
    return gap.points, gap.error, gap.standard_errors, f"{gap.count} {gap.sample_kind}", gap.verdict
