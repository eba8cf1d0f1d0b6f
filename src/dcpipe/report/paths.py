"""How well experts classify along their paths: as recorded after every epoch, and at the same epochs of convex ones."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from dcpipe.data import arrays
from dcpipe.errors import DcpipeError
from dcpipe.provenance import artifact
from dcpipe.report import figures
from dcpipe.report.figures import Points
from dcpipe.report.origins import Origins, Spent


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one kind of expert: a drawing, and its lines' names in the order of their colours."""

    title: str
    lines: tuple[str, ...]
    drawing: str


def accuracies(spent: Sequence[Spent], sources: Origins) -> list[Paths]:
    """One drawing a dataset and kind of experts whose artifacts are here: mean accuracy of all experts, in percent.

    Raises: CorruptArtifactError naming an artifact that is not what was written.
    """
    found = []
    for one in spent:
        if one.stage != "experts" or one.bytes is None:
            continue
        dataset, experts = (one.jobs[0].wildcards[name] for name in ("dataset", "experts"))
        lines = [("recorded", _recorded(one, sources))]
        for other in spent:
            words = other.jobs[0].wildcards
            if other.stage == "convexify" and (words["dataset"], words["experts"]) == (dataset, experts):
                lines.append((f"convex, waypoints {words['waypoints']}", _convex(other, sources)))
        drawn = [(name, points) for name, points in lines if points]
        if drawn:
            names = tuple(name for name, _ in drawn)
            found.append(Paths(f"{dataset}, {experts} experts", names, figures.lines("accuracy in percent", drawn)))
    return found


def _recorded(one: Spent, sources: Origins) -> Points:
    rows = [
        [float(value) for value in row]
        for job in one.jobs
        for row in arrays.read(artifact.checked(sources.root / job.outputs["trajectory"]), "accuracies")
    ]
    return [(float(epoch), fmean(values)) for epoch, values in enumerate(zip(*rows, strict=True))]


def _convex(one: Spent, sources: Origins) -> Points:
    epochs: dict[int, list[float]] = {}
    try:
        for job in one.jobs:
            path = artifact.checked(sources.root / job.outputs["accuracies"])
            for row in csv.DictReader(path.read_text().splitlines()):
                epochs.setdefault(int(row["epoch"]), []).append(float(row["accuracy"]))
    except DcpipeError:
        if one.bytes is not None:
            raise
        return []
    return [(float(epoch), fmean(values)) for epoch, values in sorted(epochs.items())]
