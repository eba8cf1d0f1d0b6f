"""How well experts classify along their paths: as recorded after every epoch, and at the same epochs of convex ones."""

import csv
from collections.abc import Sequence
from statistics import fmean

from dcpipe.data import arrays
from dcpipe.errors import DcpipeError
from dcpipe.params.waypoints import Waypoints
from dcpipe.provenance import artifact
from dcpipe.report import charts
from dcpipe.report.charts import Line, Points
from dcpipe.report.figures import Chart, file_name
from dcpipe.report.origins import Lineage, StageCost


def trajectory_accuracy_charts(costs: Sequence[StageCost], sources: Lineage) -> list[Chart]:
    """A chart per dataset and kind of experts whose artifacts are here: mean accuracy of all experts, in percent.

    Raises: CorruptArtifactError naming an artifact whose bytes differ from its card.
    """
    drawn = []
    for one in costs:
        if one.stage != "experts" or one.bytes is None:
            continue
        dataset, experts = (one.jobs[0].wildcards[name] for name in ("dataset", "experts"))
        named: list[tuple[str, Points, Sequence[int]]] = [("recorded", _recorded(one, sources), ())]
        for other in costs:
            wildcards = other.jobs[0].wildcards
            if other.stage == "convexify" and (wildcards["dataset"], wildcards["experts"]) == (dataset, experts):
                waypoints = wildcards["waypoints"]
                named.append(
                    (f"convex, waypoints {waypoints}", _convex(other, sources), Waypoints.parse(waypoints).epochs)
                )
        series = [
            Line(name, points, colour, [point for point in points if point[0] in marked])
            for colour, (name, points, marked) in enumerate(named)
            if points
        ]
        if series:
            name, title = file_name("paths", dataset, experts), f"{dataset}, {experts} experts"
            drawn.append(charts.line_chart(name, title, series, x_label="epoch", y_label="accuracy in percent"))
    return drawn


def _recorded(cost: StageCost, sources: Lineage) -> Points:
    rows = [
        [float(value) for value in row]
        for job in cost.jobs
        for row in arrays.read(artifact.verify_payload(sources.root / job.outputs["trajectory"]), "accuracies")
    ]
    return [(float(epoch), fmean(values)) for epoch, values in enumerate(zip(*rows, strict=True))]


def _convex(cost: StageCost, sources: Lineage) -> Points:
    epochs: dict[int, list[float]] = {}
    try:
        for job in cost.jobs:
            path = artifact.verify_payload(sources.root / job.outputs["accuracies"])
            for row in csv.DictReader(path.read_text().splitlines()):
                epochs.setdefault(int(row["epoch"]), []).append(float(row["accuracy"]))
    except DcpipeError:
        if cost.bytes is not None:
            raise
        return []
    return [(float(epoch), fmean(values)) for epoch, values in sorted(epochs.items())]
