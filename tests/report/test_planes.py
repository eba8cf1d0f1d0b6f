"""Laws of the figures of paths: convex ones meet the recorded one where they must, and waypoints are marked."""

import re
from pathlib import Path

import pytest

import repository
from dcpipe.experts.principal_plane import principal_components
from dcpipe.report import paths, planes
from dcpipe.report.origins import Lineage, StageCost
from dcpipe.workflow.graph import Graph

WAYPOINTS = ("none", "1-2")


@pytest.fixture
def spent(root: Path) -> tuple[list[StageCost], Lineage]:
    """Tiny's first shard of experts and two kinds of convex paths of it."""
    words = {"dataset": "tiny", "experts": "plain", "shard": 0}
    made = [repository.make(root, "convexify", **words, waypoints=waypoints) for waypoints in WAYPOINTS]
    sources = Lineage(root, Graph(root))
    return sources.costs([sources.graph.make_job("experts", **words), *made]), sources


def test_the_figures_of_paths_mark_waypoints_and_say_what_they_hold(spent: tuple[list[StageCost], Lineage]) -> None:
    (accuracy,), (plane,) = paths.trajectory_accuracy_charts(*spent), [*planes.plane_charts(*spent)]
    assert re.findall(r'id="dots-([^"]+)"', accuracy.svg.decode()) == ["convex, waypoints 1-2"]
    assert plane.name == "plane-tiny-plain"
    found = re.findall(r'id="path-\d-([^"]+)"', plane.svg.decode())
    assert found == ["recorded", "convex, waypoints none", "convex, waypoints 1-2"]
    (held,) = re.findall(r"the plane holds ([\d.]+) % of the variance", plane.description)
    axes = re.findall(r"component, ([\d.]+) %", plane.svg.decode())
    assert sum(map(float, axes)) == pytest.approx(float(held), abs=0.1)


def test_a_convex_path_is_the_recorded_one_at_its_anchors(spent: tuple[list[StageCost], Lineage]) -> None:
    costs, sources = spent
    trajectory = sources.root / costs[0].jobs[0].outputs["trajectory"]
    recorded = planes.recorded_trajectory([trajectory], 0)
    components = principal_components(recorded.points_NP)
    there = planes.plane_coordinates(recorded, components)
    for cost, anchors in zip(costs[1:], ([0, 4], [0, 1, 2, 4]), strict=True):
        convex = planes.convex_trajectory([sources.root / cost.jobs[0].outputs["path"]], 0)
        here = planes.plane_coordinates(convex, components)
        assert list(convex.marked) == anchors
        assert [at for at in convex.times if here[int(at)] == pytest.approx(there[int(at)])] == anchors


def test_an_experiment_without_convex_paths_has_no_plane(spent: tuple[list[StageCost], Lineage]) -> None:
    costs, sources = spent
    assert not [*planes.plane_charts(costs[:1], sources)]
