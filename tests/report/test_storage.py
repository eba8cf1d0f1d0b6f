"""Laws of the tables of storage and preparing: bytes are those on disk, and the convex path's are a small share."""

import json
from pathlib import Path

import pytest

import repository
from dcpipe.report import report_stage, storage
from dcpipe.report.origins import Lineage, StageCost
from dcpipe.workflow.graph import Graph


def _spent(root: Path) -> tuple[list[StageCost], Lineage]:
    graph = Graph(root)
    sources = Lineage(root, graph)
    jobs = [graph.make_job("data", dataset="tiny")]
    jobs += [graph.make_job("experts", dataset="tiny", experts="plain", shard=shard) for shard in range(2)]
    jobs += [
        graph.make_job("convexify", dataset="tiny", experts="plain", waypoints=waypoints, shard=shard)
        for waypoints in ("none", "1-2")
        for shard in range(2)
    ]
    return sources.costs(jobs), sources


def _on_disk(folder: Path, payload: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"shard*/{payload}/**/*") if path.is_file())


@pytest.fixture
def convex(root: Path) -> Path:
    """The root with both kinds of convex paths, too."""
    for waypoints in ("none", "1-2"):
        for shard in range(2):
            repository.make(root, "convexify", dataset="tiny", experts="plain", waypoints=waypoints, shard=shard)
    return root


def test_bytes_are_those_on_disk_and_shares_are_their_quotients(convex: Path) -> None:
    spent, sources = _spent(convex)
    every, recorded, ends, three = storage.trajectory_table(spent, sources).rows
    parameters = json.loads((convex / "artifacts/experts/tiny/plain/shard0/card.json").read_text())["facts"][
        "parameters"
    ]
    assert every == (
        "tiny",
        "plain",
        "every epoch",
        10,
        2 * 5 * 4 * parameters,
        pytest.approx(100 * every[4] / recorded[4]),
        100.0,
    )
    on_disk = _on_disk(convex / "artifacts/experts/tiny/plain", "trajectory.zarr")
    assert recorded[2:6] == ("recorded", 10, on_disk, 100.0)
    for row, name, anchors in ((ends, "none", 4), (three, "1-2", 8)):
        folder = convex / f"artifacts/convex/tiny/plain/{name}"
        size = _on_disk(folder, "path.zarr") + sum(p.stat().st_size for p in folder.glob("*/accuracies.csv"))
        assert row[2:5] == (f"convex, waypoints {name}", anchors, size)
        assert row[5:] == (pytest.approx(100 * size / on_disk), pytest.approx(100 * size / every[4]))
    assert ends[4] < three[4] < recorded[4] < every[4]


def test_a_store_that_is_not_here_has_no_share(convex: Path) -> None:
    (convex / "artifacts/convex/tiny/plain/none/shard1/card.json").unlink()
    row = storage.trajectory_table(*_spent(convex)).rows[2]
    assert row[4:] == ("not here", None, None)


def test_preparing_shows_what_was_noted(root: Path) -> None:
    noted = json.loads((root / Graph(root).make_job("data", dataset="tiny").costs_path).read_text())
    table = storage.preparation_table(_spent(root)[0])
    assert table.rows[0][:4] == ("tiny", "data", noted["peak_bytes"], noted["seconds"])
    (root / Graph(root).make_job("data", dataset="tiny").costs_path).unlink()
    assert "not measured" in storage.preparation_table(_spent(root)[0]).latex()


def test_the_page_and_its_files_have_both_tables(root: Path) -> None:
    report_stage.run(Graph(root).make_job("report", experiment="two"), root)
    page = (root / "results/two/report.html").read_text()
    assert "Trajectories: recorded against convex" in page
    assert "Preparing data" in page
    assert "% of recorded" in (root / "results/two/tables/storage.csv").read_text()
    assert "tiny,data," in (root / "results/two/tables/preparing.csv").read_text()
