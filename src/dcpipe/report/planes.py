"""Paths of networks in the plane of an expert's principal components: the points, and the report's figures of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dcpipe.report.figures import Chart, file_name
from dcpipe.report.origins import Lineage, StageCost
from dcpipe.report.plane_chart import PlanePath, plane_chart

if TYPE_CHECKING:
    from torch import Tensor

    from dcpipe.experts.principal_plane import PrincipalComponents

RECORDED, CONVEX, STUDENTS = "recorded", "convex", "students"
COLOUR = {RECORDED: 0, CONVEX: 1, STUDENTS: 2}


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """Parameters along a path (N x P), the times that they are of in epochs, and which points are marked.

    `name` is what is drawn; `kind` one of recorded, convex and students.
    """

    kind: str
    name: str
    points_NP: "Tensor"
    times: Sequence[float]
    marked: Sequence[int]


def recorded_trajectory(stores: Sequence[Path], expert: int) -> NetworkPath:
    """The kept checkpoints of an expert of recorded stores (verified). Raises: as `trajectory.RecordedTrajectories`."""
    import torch

    from dcpipe.data import arrays
    from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories

    path = RecordedTrajectories(stores, ParameterLayout.read(stores[0]))
    epochs = sorted(int(epoch) for epoch in arrays.read(stores[0], "epochs"))
    points_NP = torch.stack([path.at(expert, epoch) for epoch in epochs])
    return NetworkPath(RECORDED, RECORDED, points_NP, epochs, range(len(epochs)))


def convex_trajectory(stores: Sequence[Path], expert: int, name: str = CONVEX) -> NetworkPath:
    """The points of an expert's convex path at every epoch, its anchors marked; stores are verified ones.

    Progress is linear within an epoch, so that there is nothing between these points but straight lines.
    """
    import torch

    from dcpipe.data import arrays
    from dcpipe.experts.convex_path import ConvexTrajectories
    from dcpipe.experts.trajectory import ParameterLayout

    path = ConvexTrajectories(stores, ParameterLayout.read(stores[0]))
    times = range(path.last_epoch + 1)
    anchors = [int(epoch) for epoch in arrays.read(stores[0], "epochs")]
    return NetworkPath(CONVEX, name, torch.stack([path.at(expert, time) for time in times]), times, anchors)


def plane_coordinates(path: NetworkPath, components: "PrincipalComponents") -> list[tuple[float, float]]:
    """A path's coordinates along the first two components; 0 where there is one component."""
    rows = components.project(path.points_NP).tolist()
    return [(row[0], row[1] if len(row) > 1 else 0.0) for row in rows]


def paths_chart(
    name: str, title: str, paths: Sequence[NetworkPath], components: "PrincipalComponents", colours: Sequence[int]
) -> Chart:
    """The paths as a chart."""
    drawn = []
    for path, colour in zip(paths, colours, strict=True):
        points = plane_coordinates(path, components)
        drawn.append(PlanePath(path.name, points, [points[row] for row in path.marked], colour))
    return plane_chart(name, title, drawn, components.explained_in_plane)


def plane_charts(costs: Sequence[StageCost], sources: Lineage) -> Iterator[Chart]:
    """A chart of the first expert of each dataset and kind of experts that has convex paths, where all of it is here.

    Raises: CorruptArtifactError naming an artifact whose bytes differ from its card.
    """
    from dcpipe.experts.principal_plane import principal_components
    from dcpipe.provenance import artifact

    for one in costs:
        wildcards = one.jobs[0].wildcards
        place = (wildcards.get("dataset"), wildcards.get("experts"))
        others = [other for other in costs if other.stage == "convexify" and _place(other) == place]
        if one.stage != "experts" or one.bytes is None or not others:
            continue
        store = artifact.verify_payload(sources.root / one.jobs[0].outputs["trajectory"])
        paths = [recorded_trajectory([store], 0)]
        for other in others:
            if other.bytes is not None:
                found = artifact.verify_payload(sources.root / other.jobs[0].outputs["path"])
                waypoints = other.jobs[0].wildcards["waypoints"]
                paths.append(convex_trajectory([found], 0, f"convex, waypoints {waypoints}"))
        title = f"{place[0]}, expert 0 of {place[1]}"
        components = principal_components(paths[0].points_NP)
        yield paths_chart(file_name("plane", *place), title, paths, components, range(len(paths)))


def _place(one: StageCost) -> tuple[str | None, str | None]:
    wildcards = one.jobs[0].wildcards
    return wildcards.get("dataset"), wildcards.get("experts")
