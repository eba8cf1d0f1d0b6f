"""Laws of the drawn paths: a convex path meets the recorded one at its waypoints, students end where they ended."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.commands import network_paths
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.made_setting import setting_from_artifacts
from dcpipe.distillation.matching.trajectory_matching import TrajectoryMatching
from dcpipe.params.method import Method
from dcpipe.workflow.graph import Graph

CONVEX = {**repository.CELL, "method": "mct"}


@pytest.fixture(scope="module")
def convex(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's artifacts, and a set of MCT with its convex paths."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("convex") / "root"))
    repository.make_inputs(root, "distill", **CONVEX)
    repository.make(root, "distill", **CONVEX)
    return root


def test_a_convex_path_meets_the_recorded_one_at_its_waypoints(convex: Path, tmp_path: Path) -> None:
    code, printed = repository.dcpipe(convex, "paths", "tiny", "mct", "--ipc", "1", "--to", str(tmp_path))
    name = "paths-tiny-mct-ipc1-set0-expert0"
    assert code == 0, printed
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}{end}" for end in (".svg", ".pdf", ".csv")}
    rows = list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
    places = {
        kind: {float(row["epoch"]): (float(row["first"]), float(row["second"])) for row in rows if row["path"] == kind}
        for kind in ("recorded", "convex")
    }
    apart = [epoch for epoch in places["convex"] if places["convex"][epoch] != pytest.approx(places["recorded"][epoch])]
    assert set(places["convex"]) == {0, 1, 2, 3, 4}
    assert apart == [1, 3], "tiny's waypoint is epoch 2"
    students = {row["number"] for row in rows if row["path"] == "students"}
    assert len(students) == printed.count("student from epoch") > 0
    svg = (tmp_path / f"{name}.svg").read_text()
    assert all(f'id="path-{number}-{kind}"' in svg for number, kind in enumerate(("recorded", "convex", "students")))


def test_a_student_ends_where_the_distillation_has_it_end(made: Path) -> None:
    job = Graph(made).make_job("distill", **repository.CELL)
    setting, synthetic = setting_from_artifacts(job, made), synthetic_set.load(made / job.outputs["synthetic"])
    matching = TrajectoryMatching(job.section("method", Method).matching, setting)
    (found, *_) = network_paths.student_trajectories(setting, matching, synthetic, expert=0, count=1)
    episodes = [matching.draw_episode(iteration, len(synthetic.labels)) for iteration in range(5, -1, -1)]
    episode = next(one for one in episodes if one.segment.expert == 0)
    torch.testing.assert_close(found.points_NP[-1], episode.evaluate(synthetic).trace.final, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.points_NP[0], episode.student_start_P)
    assert (found.times[0], found.times[-1]) == (episode.segment.start, episode.segment.target)


def test_what_cannot_be_drawn_is_refused(made: Path, tmp_path: Path) -> None:
    told = {
        ("random", "--expert=0"): "paths: random matches no trajectories: there are no paths to draw; name a method of",
        ("mtt", "--expert=99"): "--expert: there is no expert 99; name an expert from 0 to 1",
        ("mct", "--expert=0"): "mct/ipc1/set0/synthetic.safetensors: does not exist; make it with",
    }
    for (method, expert), message in told.items():
        code, printed = repository.dcpipe(made, "paths", "tiny", method, "--ipc=1", expert, "--to", str(tmp_path))
        assert (code, message in printed) == (2, True), printed
    assert not list(tmp_path.iterdir())
