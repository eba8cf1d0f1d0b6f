"""What did not come out, and what is not known: listed from the data, as plainly as what did."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dcpipe.report.cells import BASELINE, ENOUGH, Cell, Difference, differences
from dcpipe.report.origins import Origins, Spent, some
from dcpipe.report.published import WHOLE
from dcpipe.report.tables import LEGACY, against
from dcpipe.workflow.job import Job


@dataclass(frozen=True, slots=True)
class Finding:
    """One heading of the list, and its lines."""

    title: str
    lines: tuple[str, ...]


def findings(cells: Sequence[Cell], spent: Sequence[Spent], chain: Sequence[Job], origins: Origins) -> list[Finding]:
    """Every heading that has a line."""
    gaps = differences(cells)
    found = (
        Finding("Made of other things than are here now", tuple(_stale(chain, origins))),
        Finding("Selected on test data", tuple(_legacy(cells))),
        Finding("Does not beat random by two standard errors", tuple(_no_better(cells, gaps))),
        Finding("Differs from what the papers print", tuple(filter(None, map(_against_papers, cells)))),
        Finding("Has no random baseline beside it", tuple(_alone(cells, gaps))),
        Finding("Spread between synthetic sets unknown", tuple(_one_set(cells))),
        Finding("Cost not measured", tuple(_unmeasured(spent))),
    )
    return [finding for finding in found if finding.lines]


def _full(cell: Cell) -> str:
    return f"{cell.words} ({cell.protocol}, {cell.selection}, {cell.network})"


def _legacy(cells: Sequence[Cell]) -> list[str]:
    count = Counter(cell.protocol for cell in cells if cell.selection == LEGACY)
    return [f"{number} cell{'s' if number > 1 else ''} under protocol {name}." for name, number in count.items()]


def _stale(chain: Sequence[Job], origins: Origins) -> list[str]:
    found: dict[str, list[str]] = {}
    for job in chain:
        found.setdefault("; ".join(origins.differences(job)), []).append(job.name)
    return [f"{some(names)}: {parts}." for parts, names in found.items() if parts]


def _no_better(cells: Sequence[Cell], gaps: dict[int, Difference]) -> list[str]:
    return [
        f"{_full(cells[position])}: {gap.points:+.1f} points, {_errors(gap)}."
        for position, gap in gaps.items()
        if not gap.is_clear and cells[position].method != WHOLE
    ]


def _errors(gap: Difference) -> str:
    if gap.error is None:
        return "and with one network there is no standard error"
    if gap.errors is None:
        return f"and the {gap.count} {gap.over} do not spread at all"
    return f"{gap.errors:.1f} standard errors over {gap.count} {gap.over}"


def _against_papers(cell: Cell) -> str | None:
    found = against(cell)
    if any(one.errors is None or abs(one.errors) < ENOUGH for one in found) or not found:
        return None
    printed = " / ".join(f"{one.number.words} in {one.number.source} ({one.words})" for one in found)
    return f"{_full(cell)}: {cell.mean:.1f} ± {cell.std:.1f} here, {printed}."


def _alone(cells: Sequence[Cell], gaps: dict[int, Difference]) -> list[str]:
    return [f"{_full(cell)}." for i, cell in enumerate(cells) if i not in gaps and cell.method != BASELINE]


def _one_set(cells: Sequence[Cell]) -> list[str]:
    single = [cell.words for cell in cells if len(cell.sets) == 1]
    if not single:
        return []
    which = "Every cell has" if len(single) == len(cells) else f"{len(single)} of {len(cells)} cells have"
    return [f"{which} one set ({some(single)}), so standard errors are over networks and too small."]


def _unmeasured(spent: Sequence[Spent]) -> list[str]:
    lines = []
    for stage in dict.fromkeys(one.stage for one in spent):
        kinds = [one for one in spent if one.stage == stage]
        if all(len(one.unmeasured) == len(one.jobs) for one in kinds):
            lines.append(f"{stage}: none of {sum(len(one.jobs) for one in kinds)} jobs.")
        else:
            partly = [one for one in kinds if one.unmeasured]
            lines += [f"{stage} {one.what}: {len(one.unmeasured)} of {len(one.jobs)} jobs are not." for one in partly]
    return lines
