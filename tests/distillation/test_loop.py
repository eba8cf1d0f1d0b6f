"""Laws of the loop: what it notes, keeps and refuses. Runs of the tiny preset on real digits and recorded experts."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import repository
from dcpipe.data import store
from dcpipe.distillation import finite_check, synthetic_set
from dcpipe.distillation.averaging.averaging_config import NoAveraging
from dcpipe.distillation.coordinates.coordinates_config import AllCoordinates
from dcpipe.distillation.first_images.first_images_config import RealImages
from dcpipe.distillation.labels.label_config import HardLabels
from dcpipe.distillation.matching_results import Gradients
from dcpipe.distillation.optimisers.optimiser_config import Sgd
from dcpipe.distillation.optimisers.outer_optimiser import OuterOptimiser
from dcpipe.distillation.sharpness.sharpness_config import NoSharpness
from dcpipe.distillation.step_size.step_size_config import FixedStepSize, LearnedStepSize
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError
from dcpipe.params.method import Images, OuterLoop
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.graph import Graph

OUTER = "overrides.tiny.outer"
Snapshots = list[tuple[int, SyntheticSet]]


def _folder(root: Path, **words: str | int) -> Path:
    return root / Graph(root).make_job("distill", **{**repository.CELL, **words}).folder


def _distil(root: Path, **values: object) -> tuple[SyntheticSet, Snapshots, list[dict[str, str]]]:
    """Finished set, snapshots and history of the tiny preset with some values changed (`__` for a dot)."""
    repository.set_params(root, "methods/mtt.yaml", {key.replace("__", "."): value for key, value in values.items()})
    repository.make(root, "distill", **repository.CELL)
    folder = _folder(root)
    with (folder / "history.csv").open() as rows:
        history = list(csv.DictReader(rows))
    snapshots = synthetic_set.load_snapshots(folder / "snapshots.safetensors")
    return synthetic_set.load(folder / "synthetic.safetensors"), snapshots, history


def _same(a: SyntheticSet, b: SyntheticSet) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_tensors(a), _tensors(b), strict=True))


def _tensors(a: SyntheticSet) -> tuple[Tensor, ...]:
    return a.images_NCHW, a.labels, a.step_size


def _set_outer(root: Path, **values: object) -> None:
    """Write a whole `outer` section for tiny, so that no other override has a say."""
    images = {"initial": "real", "optimiser": {"kind": "sgd", "learning_rate": 50.0, "momentum": 0.5}}
    step_size = {
        "kind": "learned",
        "initial": 0.05,
        "optimiser": {"kind": "sgd", "learning_rate": 1e-5, "momentum": 0.5},
    }
    outer = {"iterations": 6, "snapshot_every": 2, "images": images, "step_size": step_size, **values}
    repository.set_params(root, "methods/mtt.yaml", {OUTER: outer, "overrides.tiny.ipc1": {}})


@pytest.mark.parametrize(("iterations", "every", "kept"), [(6, 2, [0, 2, 4, 6]), (5, 2, [0, 2, 4, 5]), (3, 9, [0, 3])])
def test_snapshots_are_of_the_asked_iterations_the_last_is_the_set(
    iterations: int, every: int, kept: list[int], tiny: Path
) -> None:
    _set_outer(tiny, iterations=iterations, snapshot_every=every)
    finished, snapshots, history = _distil(tiny)
    assert [iteration for iteration, _ in snapshots] == kept
    assert _same(snapshots[-1][1], finished)
    assert [int(row["iteration"]) for row in history] == list(range(iterations))
    for iteration, synthetic in snapshots[:-1]:
        assert float(history[iteration]["step_size"]) == float(synthetic.step_size)


def test_a_snapshot_is_what_a_run_of_so_many_iterations_ends_with(tiny: Path, made: Path) -> None:
    long = dict(synthetic_set.load_snapshots(_folder(made) / "snapshots.safetensors"))
    finished, _, history = _distil(tiny, **{f"{OUTER}.iterations": 4})
    assert _same(finished, long[4])
    assert len(history) == 4


def test_the_first_snapshot_is_real_images_of_every_class_or_noise(tiny: Path) -> None:
    train = store.load(tiny / "artifacts/data/tiny/train.zarr", "train")
    real = {image.numpy().tobytes(): int(label) for image, label in zip(train.images_NCHW, train.labels_N, strict=True)}
    start = _distil(tiny)[1][0][1]
    assert [real[image.numpy().tobytes()] for image in start.images_NCHW] == start.labels.tolist() == list(range(10))
    noise = _distil(tiny, outer__images__initial="noise")[1][0][1]
    assert not set(real) & {image.numpy().tobytes() for image in noise.images_NCHW}
    assert noise.labels.tolist() == list(range(10))
    assert noise.images_NCHW.std() == pytest.approx(1.0, abs=0.1)


def test_labels_never_change_and_every_image_does(made: Path) -> None:
    for ipc in (1, 2):
        snapshots = synthetic_set.load_snapshots(_folder(made, ipc=ipc) / "snapshots.safetensors")
        first, last = snapshots[0][1], snapshots[-1][1]
        assert first.labels.tolist() == [label for label in range(10) for _ in range(ipc)]
        assert torch.equal(first.labels, last.labels)
        assert all(not torch.equal(a, b) for a, b in zip(first.images_NCHW, last.images_NCHW, strict=True))


def test_distillation_lowers_the_matching_loss(tiny: Path) -> None:
    _, _, history = _distil(tiny, **{f"{OUTER}.iterations": 40})
    losses = [float(row["loss"]) for row in history]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_fixed_step_size_stays(tiny: Path) -> None:
    _set_outer(tiny, step_size={"kind": "fixed", "initial": 0.05})
    finished, snapshots, history = _distil(tiny)
    assert {float(s.step_size) for _, s in snapshots} | {float(finished.step_size)} == {0.05}
    assert {float(row["step_size"]) for row in history} == {0.05}


def _outer(momentum: float, step_size: LearnedStepSize | FixedStepSize) -> OuterLoop:
    images = Images(initial=RealImages(kind="real"), optimiser=Sgd(kind="sgd", learning_rate=3.0, momentum=momentum))
    return OuterLoop(
        iterations=2,
        snapshot_every=1,
        images=images,
        step_size=step_size,
        labels=HardLabels(kind="hard"),
        loss_threshold=None,
        sharpness=NoSharpness(kind="none"),
        averaging=NoAveraging(kind="none"),
        coordinates=AllCoordinates(kind="all"),
    )


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_two_updates_are_heavy_ball_steps_worked_out_by_hand(momentum: float) -> None:
    optimiser = OuterOptimiser.from_config(
        _outer(
            momentum,
            LearnedStepSize(
                kind="learned", initial=0.5, optimiser=Sgd(kind="sgd", learning_rate=0.25, momentum=momentum)
            ),
        )
    )
    x = torch.tensor([[[[1.0, 2.0]]]], dtype=torch.float64)
    synthetic = SyntheticSet(x, torch.tensor([0]), torch.tensor(0.5, dtype=torch.float64))
    g = [torch.tensor([[[[4.0, -2.0]]]]).double(), torch.tensor([[[[1.0, 8.0]]]]).double()]
    h = [torch.tensor(0.5), torch.tensor(-1.0)]
    for iteration in range(2):
        synthetic = optimiser.update(iteration, synthetic, Gradients(g[iteration], h[iteration]))
    assert torch.equal(synthetic.images_NCHW, x - 3 * g[0] - 3 * (momentum * g[0] + g[1]))
    assert float(synthetic.step_size) == 0.5 - 0.25 * 0.5 - 0.25 * (momentum * 0.5 - 1.0)


def _state(root: Path) -> tuple[dict[str, Tensor], Any]:
    (path,) = (root / "state").glob("*/distill.state")
    found = ResumeState(path.parent).load("distill")
    assert found is not None
    return found


def test_a_step_size_that_would_not_be_positive_stops_before_the_update(tiny: Path) -> None:
    """The state is the one before the update, optimisers too: it stays the same however often it is taken up."""
    before = repository.bytes_below(_folder(tiny))
    _set_outer(
        tiny,
        step_size={
            "kind": "learned",
            "initial": 0.05,
            "optimiser": {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.9},
        },
    )
    told, states = [], []
    for _ in range(2):
        with pytest.raises(NonFiniteError) as caught:
            _distil(tiny)
        told.append(str(caught.value))
        states.append(_state(tiny))
    assert "the step size would become -" in told[0]
    assert told[0] == told[1]
    (tensors, meta), (again, meta_again) = states
    assert 0 < meta["iteration"] < 6
    assert told[0].startswith(f"iteration {meta['iteration']}: ")
    assert len(meta["history"]) == meta["iteration"]
    assert float(tensors["current.step_size"]) > 0
    assert meta == meta_again
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert repository.bytes_below(_folder(tiny)) == before


def test_the_state_before_a_refused_update_is_that_of_a_run_ended_there(tiny: Path) -> None:
    steep = {"kind": "learned", "initial": 0.05, "optimiser": {"kind": "sgd", "learning_rate": 0.02, "momentum": 0.9}}
    _set_outer(tiny, step_size=steep)
    with pytest.raises(NonFiniteError):
        _distil(tiny)
    tensors, meta = _state(tiny)
    _set_outer(tiny, step_size=steep, iterations=meta["iteration"])
    finished, snapshots, _ = _distil(tiny)
    assert torch.equal(finished.images_NCHW, tensors["current.images"])
    assert torch.equal(finished.step_size, tensors["current.step_size"])
    assert meta["snapshots"] == [iteration for iteration, _ in snapshots if iteration < meta["iteration"]]


STEEP = {"initial": "real", "optimiser": {"kind": "sgd", "learning_rate": 3e38, "momentum": 0.0}}
DIVERGING = {  # inner steps, and what of `outer` goes too far
    "matching loss": (5, {"step_size": {"kind": "fixed", "initial": 1e30}}),
    "image gradient": (5, {"step_size": {"kind": "fixed", "initial": 1e3}}),
    "images": (1, {"step_size": {"kind": "fixed", "initial": 1e18}, "images": STEEP}),
}


@pytest.mark.parametrize("tensor", DIVERGING)
def test_a_non_finite_number_stops_the_run_naming_iteration_and_tensor(tensor: str, tiny: Path) -> None:
    before = repository.bytes_below(_folder(tiny))
    inner_steps, outer = DIVERGING[tensor]
    _set_outer(tiny, **outer)
    with pytest.raises(NonFiniteError) as caught:
        _distil(tiny, overrides__tiny__matching__inner_steps=inner_steps)
    assert str(caught.value).startswith(
        f"iteration 0: {tensor} is not finite; lower outer.images.optimiser.learning_rate or "
    )
    assert caught.value.exit_code == 1
    tensors, meta = _state(tiny)
    assert (meta["iteration"], meta["history"], meta["snapshots"]) == (0, [], [])
    assert bool(torch.isfinite(tensors["current.images"]).all())
    assert repository.bytes_below(_folder(tiny)) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["matching_loss", "image_gradient", "step_size_gradient"])
def test_one_bad_number_anywhere_is_enough(name: str, bad: float) -> None:
    good = {"matching_loss": torch.ones(()), "image_gradient": torch.ones(2, 3), "step_size_gradient": torch.ones(())}
    finite_check.refuse_non_finite(4, **good)
    good[name].view(-1)[-1] = bad
    with pytest.raises(NonFiniteError, match=f"^iteration 4: {name.replace('_', ' ')} is not finite; "):
        finite_check.refuse_non_finite(4, **good)


@pytest.mark.parametrize("step_size", [0.0, -0.0, -1e-300, float("nan")])
def test_a_step_size_of_zero_or_less_is_refused(step_size: float) -> None:
    finite_check.refuse_bad_step_size(0, torch.tensor(5e-324, dtype=torch.float64))
    with pytest.raises(NonFiniteError, match=r"^iteration 7: the step size would become "):
        finite_check.refuse_bad_step_size(7, torch.tensor(step_size, dtype=torch.float64))


def test_a_set_reads_back_as_it_was_written(made: Path, tmp_path: Path) -> None:
    snapshots = synthetic_set.load_snapshots(_folder(made) / "snapshots.safetensors")
    synthetic_set.save_snapshots(tmp_path / "x", snapshots)
    synthetic_set.save(tmp_path / "y", snapshots[1][1])
    again = synthetic_set.load_snapshots(tmp_path / "x")
    assert all(_same(a, b) for (_, a), (_, b) in zip(snapshots, again, strict=True))
    assert _same(synthetic_set.load(tmp_path / "y"), snapshots[1][1])
    assert (tmp_path / "x").read_bytes() == (_folder(made) / "snapshots.safetensors").read_bytes()


def test_random_sets_are_distinct_real_images_smaller_within_larger(made: Path) -> None:
    """Sets are drawn by name: each class is shuffled once a set, whatever ipc asks for."""
    train = store.load(made / "artifacts/data/tiny/train.zarr", "train")
    real = {image.numpy().tobytes() for image in train.images_NCHW}
    for ipc in (1, 2):
        found = synthetic_set.load(_folder(made, method="random", ipc=ipc) / "synthetic.safetensors")
        images = [image.numpy().tobytes() for image in found.images_NCHW]
        assert set(images) <= real
        assert len(set(images)) == 10 * ipc
        assert float(found.step_size) == 0.01


MEASURED = ("exact_loss", "exact_gradient_norm", "exact_sharpness")


def test_dynamics_are_noted_at_their_iterations_and_alter_no_bit(tiny: Path) -> None:
    plain, _, before = _distil(tiny)
    measured, _, history = _distil(tiny, outer__dynamics={"kind": "exact", "every": 2, "draws": 2, "radius": 0.1})
    assert _same(plain, measured)
    assert [{key: value for key, value in row.items() if key not in MEASURED} for row in history] == before
    assert [bool(row["exact_loss"]) for row in history] == [True, False] * 3
    first, last = ({key: float(row[key]) for key in MEASURED} for row in (history[0], history[4]))
    assert first != last
    assert all(value > 0 for value in first.values())


def test_a_measure_on_the_same_draws_depends_on_the_set_alone(tiny: Path) -> None:
    """At a rate next to 0 nothing moves, so that every measurement is the first; a smaller ball has a smaller rise."""
    still = {
        "overrides__tiny__ipc1__outer__images__optimiser__learning_rate": 1e-30,
        "overrides__digits__outer__step_size__optimiser__learning_rate": 1e-30,
    }
    rises = {}
    for radius in (0.1, 1e-3):
        dynamics = {"kind": "exact", "every": 1, "draws": 2, "radius": radius}
        _, _, history = _distil(tiny, **still, outer__dynamics=dynamics)
        assert len({tuple(row[key] for key in MEASURED) for row in history}) == 1
        assert len({row["loss"] for row in history}) > 1
        rises[radius] = float(history[0]["exact_sharpness"])
    assert rises[0.1] > rises[1e-3] > 0
