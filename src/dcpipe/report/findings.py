"""Results that failed, and values that are not known: listed from the data, as plainly as successes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dcpipe.distillation.pixel_range import describe_range
from dcpipe.report.baseline import BASELINE
from dcpipe.report.cells import Cell, differences
from dcpipe.report.comparison import TIE_STANDARD_ERRORS, Difference
from dcpipe.report.origins import Lineage, StageCost, abbreviated
from dcpipe.report.published import WHOLE
from dcpipe.report.tables import LEGACY, paper_gaps
from dcpipe.workflow.job import Job


@dataclass(frozen=True, slots=True)
class Finding:
    """One heading of the list, and its lines."""

    title: str
    lines: tuple[str, ...]


def findings(
    cells: Sequence[Cell], costs: Sequence[StageCost], chain: Sequence[Job], origins: Lineage
) -> list[Finding]:
    """Every heading that has a line."""
    gaps = differences(cells)
    every = (
        Finding("Made with other params, code or inputs than are here now", tuple(_stale(chain, origins))),
        Finding("Images with pixels far out of range", tuple(_out_of_range(cells))),
        Finding("Selected on test data", tuple(_selected_on_test(cells))),
        Finding("Values that no source states for the cell", tuple(_unsourced(cells))),
        Finding("Does not beat random by two standard errors", tuple(_no_better(cells, gaps))),
        Finding("Differs from what the papers print", tuple(filter(None, map(_against_papers, cells)))),
        Finding("Has no random baseline beside it", tuple(_without_baseline(cells, gaps))),
        Finding("Spread between synthetic sets unknown", tuple(_one_set(cells))),
        Finding("Cost not measured", tuple(_unmeasured(costs))),
    )
    return [finding for finding in every if finding.lines]


def _cell_text(cell: Cell) -> str:
    return f"{cell.title} ({cell.protocol}, {cell.selection}, {cell.network})"


def _selected_on_test(cells: Sequence[Cell]) -> list[str]:
    count = Counter(cell.protocol for cell in cells if cell.selection == LEGACY)
    return [f"{number} cell{'s' if number > 1 else ''} under protocol {name}." for name, number in count.items()]


def _unsourced(cells: Sequence[Cell]) -> list[str]:
    marks = {cell.title: cell.unsourced for cell in cells if cell.unsourced}
    return [f"{title}: {mark}." for title, mark in marks.items()]


def _out_of_range(cells: Sequence[Cell]) -> list[str]:
    return [
        f"{_cell_text(cell)}: {describe_range(cell.pixel_range)}."
        for cell in cells
        if cell.is_far_out_of_range and cell.pixel_range
    ]


def _stale(chain: Sequence[Job], origins: Lineage) -> list[str]:
    jobs: dict[str, list[str]] = {}
    for job in chain:
        jobs.setdefault("; ".join(origins.differences(job)), []).append(job.name)
    return [f"{abbreviated(names)}: {changes}." for changes, names in jobs.items() if changes]


def _no_better(cells: Sequence[Cell], gaps: dict[int, Difference]) -> list[str]:
    return [
        f"{_cell_text(cells[position])}: {gap.points:+.1f} points, {_standard_errors_text(gap)}."
        for position, gap in gaps.items()
        if not gap.is_clearly_above
    ]


def _standard_errors_text(gap: Difference) -> str:
    if gap.error is None:
        return "and with one network there is no standard error"
    if gap.standard_errors is None:
        return f"and the {gap.count} {gap.sample_kind} do not spread at all"
    return f"{gap.standard_errors:.1f} standard errors over {gap.count} {gap.sample_kind}"


def _against_papers(cell: Cell) -> str | None:
    gaps = paper_gaps(cell)
    if any(gap.standard_errors is None or abs(gap.standard_errors) < TIE_STANDARD_ERRORS for gap in gaps) or not gaps:
        return None
    printed = " / ".join(f"{gap.number.text} in {gap.number.source} ({gap.text})" for gap in gaps)
    return f"{_cell_text(cell)}: {cell.mean:.1f} ± {cell.std:.1f} here, {printed}."


def _without_baseline(cells: Sequence[Cell], gaps: dict[int, Difference]) -> list[str]:
    return [
        f"{_cell_text(cell)}." for i, cell in enumerate(cells) if i not in gaps and cell.method not in {BASELINE, WHOLE}
    ]


def _one_set(cells: Sequence[Cell]) -> list[str]:
    single = [cell.title for cell in cells if len(cell.sets) == 1]
    if not single:
        return []
    which = "Every cell has" if len(single) == len(cells) else f"{len(single)} of {len(cells)} cells have"
    return [f"{which} one set ({abbreviated(single)}), so standard errors are over networks and too small."]


def _unmeasured(costs: Sequence[StageCost]) -> list[str]:
    lines = []
    for stage in dict.fromkeys(one.stage for one in costs):
        kinds = [one for one in costs if one.stage == stage]
        if all(len(one.unmeasured) == len(one.jobs) for one in kinds):
            lines.append(f"{stage}: none of {sum(len(one.jobs) for one in kinds)} jobs.")
        else:
            partly = [one for one in kinds if one.unmeasured]
            lines += [f"{stage} {one.kind}: {len(one.unmeasured)} of {len(one.jobs)} jobs." for one in partly]
    return lines
