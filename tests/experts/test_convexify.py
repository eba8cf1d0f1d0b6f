"""Laws of convex paths as artifacts: self-sufficient, exact at their anchors, and small."""

import csv
import shutil
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.data import arrays
from dcpipe.errors import UserError
from dcpipe.experts.convex_path import ConvexTrajectories
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.build import build
from dcpipe.params.waypoints import Waypoints
from dcpipe.provenance.durable import files_below
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

WORDS: dict[str, str | int] = {"dataset": "tiny", "experts": "plain", "waypoints": "2"}


@pytest.fixture(scope="module")
def convex(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's root with the convex paths of its experts."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("convex") / "root"))
    for shard in range(2):
        repository.make(root, "convexify", **WORDS, shard=shard)
    return root


def layout() -> ParameterLayout:
    return ParameterLayout.from_specs(
        "convnet2-w32", build("convnet2-w32", channels=1, image_size=8, classes=10).layout
    )


def readers(root: Path) -> tuple[RecordedTrajectories, ConvexTrajectories]:
    recorded = [root / f"artifacts/experts/tiny/plain/shard{shard}/trajectory.zarr" for shard in range(2)]
    paths = [root / f"artifacts/convex/tiny/plain/2/shard{shard}/path.zarr" for shard in range(2)]
    return RecordedTrajectories(recorded, layout()), ConvexTrajectories(paths, layout())


def test_at_anchors_the_path_is_the_stored_checkpoint_bit_for_bit(convex: Path) -> None:
    recorded, path = readers(convex)
    assert recorded.num_experts == path.num_experts == 2
    for expert in range(2):
        for epoch in (0, 2, 4):
            assert torch.equal(path.at(expert, epoch), recorded.at(expert, epoch))
            assert torch.equal(path.at(expert, float(epoch)), recorded.at(expert, epoch))
        assert not torch.equal(path.at(expert, 1), recorded.at(expert, 1))


def test_at_anchors_a_path_classifies_as_the_expert_was_logged_to(convex: Path) -> None:
    for shard in range(2):
        folder = convex / f"artifacts/convex/tiny/plain/2/shard{shard}"
        rows = list(csv.DictReader((folder / "accuracies.csv").read_text().splitlines()))
        found = {(int(row["expert"]), int(row["epoch"])): float(row["accuracy"]) for row in rows}
        logged = arrays.read(convex / f"artifacts/experts/tiny/plain/shard{shard}/trajectory.zarr", "accuracies")
        assert set(found) == {(0, epoch) for epoch in range(5)}
        assert [found[0, epoch] for epoch in (0, 2, 4)] == [logged[0, epoch] for epoch in (0, 2, 4)]
        assert found[0, 4] > found[0, 0]


def test_logged_lengths_are_those_of_the_recorded_checkpoints(convex: Path) -> None:
    recorded, _ = readers(convex)
    stored = torch.from_numpy(arrays.read(convex / "artifacts/experts/tiny/plain/shard0/trajectory.zarr", "lengths"))
    sizes = [torch.Size(shape).numel() for _, shape in layout().tensors]
    for epoch in range(4):
        moved = torch.split(recorded.at(0, epoch + 1).double() - recorded.at(0, epoch).double(), sizes)
        found = torch.stack([part.norm() for part in moved])
        torch.testing.assert_close(stored[0, epoch], found, rtol=1e-12, atol=0.0)


def test_a_tensor_moves_by_its_progress_times_the_way_between_anchors(convex: Path) -> None:
    _, path = readers(convex)
    sizes = [torch.Size(shape).numel() for _, shape in layout().tensors]
    progress = torch.from_numpy(arrays.read(convex / "artifacts/convex/tiny/plain/2/shard0/path.zarr", "progress"))[0]
    share = (progress[1] - progress[0]) / (progress[2] - progress[0])
    moved = torch.split(path.at(0, 1).double() - path.at(0, 0).double(), sizes)
    way = torch.split(path.at(0, 2).double() - path.at(0, 0).double(), sizes)
    for index, part in enumerate(moved):
        torch.testing.assert_close(part.norm(), share[index] * way[index].norm(), rtol=1e-5, atol=1e-7)


def test_without_the_recorded_store_the_distilled_bytes_are_the_same(convex: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(convex, tmp_path / "root"))
    words: dict[str, str | int] = {"dataset": "tiny", "method": "mct", "ipc": 1, "set": 0}
    first = repository.make(root, "distill", **words)
    before = repository.bytes_below(root / first.folder)
    shutil.rmtree(root / "artifacts/experts")
    execute_job(Graph(root).make_job("distill", **words), root)
    assert repository.bytes_below(root / first.folder) == before


def test_four_anchors_take_less_than_a_tenth_of_fifty_one_checkpoints(tiny: Path) -> None:
    changes = {"overrides.tiny.epochs": 50, "overrides.tiny.kept_epochs": "all"}
    repository.set_params(tiny, "experts/plain.yaml", changes)
    recorded = repository.make(tiny, "experts", dataset="tiny", experts="plain", shard=0)
    path = repository.make(tiny, "convexify", dataset="tiny", experts="plain", waypoints="6-25", shard=0)
    sizes = [
        sum(file.stat().st_size for file in files_below(tiny / job.outputs[name]))
        for job, name in ((recorded, "trajectory"), (path, "path"))
    ]
    assert sizes[1] < 0.1 * sizes[0]


def test_smoothed_anchors_are_means_with_the_recorded_progress(convex: Path) -> None:
    """As in MCT's public code: waypoints of both neighbours, the end of the last two, the start as it is."""
    job = repository.make(convex, "convexify", **{**WORDS, "waypoints": "2-smoothed"}, shard=0)
    store = convex / job.outputs["path"]
    recorded, _ = readers(convex)
    anchors = torch.from_numpy(arrays.read(store, "anchors"))[0]
    expected = [
        recorded.at(0, 0),
        (recorded.at(0, 1) + recorded.at(0, 3)) / 2,
        (recorded.at(0, 3) + recorded.at(0, 4)) / 2,
    ]
    assert all(torch.equal(one, other) for one, other in zip(anchors, expected, strict=True))
    plain = convex / "artifacts/convex/tiny/plain/2/shard0/path.zarr"
    assert (arrays.read(store, "progress") == arrays.read(plain, "progress")).all()
    assert arrays.read(store, "epochs").tolist() == [0, 2, 4]


def test_a_name_of_waypoints_is_the_list_that_it_spells() -> None:
    names = {"none": (), "6-25": (6, 25), "17-34-smoothed": (17, 34), "none-smoothed": ()}
    assert {name: Waypoints.parse(name).epochs for name in names} == names
    assert all(Waypoints.parse(name).name == name for name in names)
    with pytest.raises(UserError, match=r"waypoints: '6-x' names no epochs; list epochs as in 6-25 or 17-34-smoothed"):
        Waypoints.parse("6-x")


def test_a_smoothed_end_needs_the_checkpoint_before_it() -> None:
    with pytest.raises(UserError, match="epoch 19 is needed by a convex path but not in kept_epochs"):
        Graph(repository.ROOT).make_job("convexify", dataset="digits", experts="plain", waypoints="3-smoothed", shard=0)


@pytest.mark.parametrize("waypoints", ["3-2", "4", "2-9"])
def test_impossible_waypoints_are_refused_at_planning(waypoints: str) -> None:
    with pytest.raises(UserError, match=f"path {waypoints}: waypoints are not increasing epochs up to the 4 of "):
        Graph(repository.ROOT).make_job("convexify", dataset="tiny", experts="plain", waypoints=waypoints, shard=0)
