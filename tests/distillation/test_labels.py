"""Laws of the labels axis and of what DATM and TESLA add: on real digits and recorded experts."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import repository
from dcpipe.data import store
from dcpipe.data.store import Images
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.labels.label_config import LearnedLabels
from dcpipe.distillation.matching_results import Gradients
from dcpipe.distillation.optimisers.optimiser_config import Sgd
from dcpipe.distillation.optimisers.outer_optimiser import OuterOptimiser
from dcpipe.distillation.synthetic_set import SyntheticSet, drawn_class_rows
from dcpipe.distillation.teachers import logits
from dcpipe.errors import NonFiniteError, UserError
from dcpipe.evaluation import protocol
from dcpipe.experts.trajectory import ParameterLayout, RecordedTrajectories
from dcpipe.models.build import build
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

TINY = "overrides.tiny.outer"
MODEL = build("convnet2-w32", channels=1, image_size=8, classes=10)
SOFT = {"kind": "one-hot", "logit": 3.0}
FROZEN = {"kind": "fixed", "initial": {"kind": "one-hot", "logit": 200.0}}
STILL = {"kind": "sgd", "learning_rate": 1e-30, "momentum": 0.0}


class Run:
    """What a distillation left."""

    def __init__(self, root: Path, method: str, ipc: int) -> None:
        folder = root / Graph(root).make_job("distill", dataset="tiny", method=method, ipc=ipc, set=0).folder
        self.synthetic = synthetic_set.load(folder / "synthetic.safetensors")
        self.snapshots = dict(synthetic_set.load_snapshots(folder / "snapshots.safetensors"))
        with (folder / "history.csv").open() as rows:
            self.history = list(csv.DictReader(rows))

    @property
    def first(self) -> SyntheticSet:
        return self.snapshots[0]


def distil(root: Path, method: str, ipc: int = 1, **changes: object) -> Run:
    """A set of a preset after changing some of its values (`__` for a dot), which then stand in the file."""
    values = {key.replace("__", "."): value for key, value in changes.items()}
    repository.set_params(root, f"methods/{method}.yaml", values)
    repository.make(root, "distill", dataset="tiny", method=method, ipc=ipc, set=0)
    return Run(root, method, ipc)


def train_of(root: Path) -> Images:
    return store.load(root / "artifacts/data/tiny/train.zarr", "train")


def experts_of(root: Path) -> RecordedTrajectories:
    paths = [root / f"artifacts/experts/tiny/plain/shard{shard}/trajectory.zarr" for shard in range(2)]
    return RecordedTrajectories(paths, ParameterLayout.from_specs("convnet2-w32", MODEL.layout))


def said(root: Path, expert: int, epoch: int, images: Tensor) -> Tensor:
    return logits(MODEL, experts_of(root).at(expert, epoch), images)


def same(a: SyntheticSet, b: SyntheticSet) -> bool:
    pairs = ((a.images_NCHW, b.images_NCHW), (a.labels, b.labels), (a.step_size, b.step_size))
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.fixture(scope="module")
def taught(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment with the sets of the presets that have soft labels."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("taught") / "root"))
    for method in ("datm", "tesla-soft"):
        distil(root, method)
    return root


@pytest.fixture
def again(taught: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(taught, tmp_path / "again"))


def test_first_images_are_the_first_that_an_expert_classifies_correctly(taught: Path) -> None:
    train, stream = train_of(taught), Stream.root(0, "distill", "tiny", "datm", 1, 0).child("initial")
    found = Run(taught, "datm", 1).first
    for label, image in enumerate(found.images_NCHW):
        order = drawn_class_rows(train.labels_N, label, 99, stream)
        right = [said(taught, expert, 4, train.images_NCHW[order]).argmax(1) == label for expert in range(2)]
        by = right[0] if right[0].any() else right[1]
        assert torch.equal(image, train.images_NCHW[order[by][0]])


def test_a_class_that_expert_0_cannot_fill_is_filled_by_the_next_one(again: Path) -> None:
    train = train_of(again)
    right = torch.stack([said(again, expert, 4, train.images_NCHW).argmax(1) == train.labels_N for expert in range(2)])
    counts = [[int(known[train.labels_N == label].sum()) for known in (right[0], right.any(0))] for label in range(10)]
    ipc = min(union for _, union in counts)
    assert any(alone < ipc for alone, _ in counts), "expert 0 is enough: the test tries nothing"
    found = distil(again, "datm", ipc).first
    known = {image.numpy().tobytes() for image in train.images_NCHW[right.any(0)]}
    assert len({image.numpy().tobytes() for image in found.images_NCHW} & known) == 10 * ipc
    with pytest.raises(UserError, match=rf"^outer.images.initial: correct: .* {ipc + 1} are asked for; write outer"):
        distil(again, "datm", ipc + 1)


def test_first_labels_are_the_mean_of_the_experts_that_are_right(taught: Path) -> None:
    first = Run(taught, "datm", 1).first
    for label, (image, found) in enumerate(zip(first.images_NCHW, first.labels, strict=True)):
        all_said = [said(taught, expert, 4, image[None])[0] for expert in range(2)]
        right = [one for one in all_said if int(one.argmax()) == label]
        torch.testing.assert_close(found, torch.stack(right).mean(0), rtol=1e-5, atol=1e-6)


def test_first_labels_may_be_those_of_one_expert(again: Path) -> None:
    initial = {"kind": "one-expert", "expert": 1}
    first = distil(again, "datm", outer__images__initial="real", outer__labels__initial=initial).first
    torch.testing.assert_close(first.labels, said(again, 1, 4, first.images_NCHW), rtol=1e-5, atol=1e-6)


def test_an_image_that_no_expert_knows_has_no_mean(again: Path) -> None:
    """Planning refuses real images there; the arithmetic would refuse what slipped through."""
    with pytest.raises(UserError, match="an image that no expert classifies correctly would have no label"):
        distil(again, "datm", outer__images__initial="real")


def test_learned_labels_move_and_fixed_ones_do_not(again: Path) -> None:
    moved = Run(again, "datm", 1)
    assert not torch.equal(moved.synthetic.labels, moved.first.labels)
    assert all(float(row["label_gradient_norm"]) > 0 for row in moved.history)
    kept = distil(again, "datm", outer__labels={"kind": "fixed", "initial": {"kind": "correct-experts"}})
    assert torch.equal(kept.synthetic.labels, kept.first.labels)
    assert torch.equal(kept.first.labels, moved.first.labels)


def test_fixed_labels_are_learned_ones_whose_rate_moves_nothing(again: Path) -> None:
    still = distil(again, "datm", outer__labels={"kind": "learned", "initial": SOFT, "optimiser": STILL}).synthetic
    fixed = distil(again, "datm", outer__labels={"kind": "fixed", "initial": SOFT}).synthetic
    torch.testing.assert_close(fixed.labels, still.labels, rtol=0, atol=1e-30)
    assert torch.equal(fixed.images_NCHW, still.images_NCHW)
    assert torch.equal(fixed.step_size, still.step_size)


def test_datm_with_frozen_one_hot_labels_and_a_fixed_range_is_mtt(again: Path) -> None:
    """The stream of a set is named after its method: MTT's preset is given DATM's axes, each with nothing to do."""
    plain = Run(again, "mtt", 1)
    assert plain.synthetic.labels.tolist() == list(range(10))
    close = distil(again, "mtt", outer__labels=FROZEN, outer__loss_threshold=1e30)
    assert torch.equal(close.synthetic.labels, 200.0 * torch.eye(10))
    torch.testing.assert_close(close.synthetic.images_NCHW, plain.synthetic.images_NCHW, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(close.synthetic.step_size, plain.synthetic.step_size, rtol=1e-5, atol=0)


def test_networks_trained_on_one_class_logits_are_those_of_hard_labels(taught: Path) -> None:
    hard = Run(taught, "mtt", 1).synthetic
    soft = SyntheticSet(hard.images_NCHW, 200.0 * functional.one_hot(hard.labels, 10).float(), hard.step_size)
    evaluation, stream = ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 1)[1], Stream.root(0, "a")
    thetas = [protocol.train(MODEL, one, evaluation, float(hard.step_size), stream).theta_P for one in (hard, soft)]
    torch.testing.assert_close(thetas[1], thetas[0], rtol=1e-4, atol=1e-5)


def test_soft_labels_are_scored_and_selected_as_they_are(taught: Path) -> None:
    """Networks trained on the soft set differ from those of its classes, and snapshots are scored too."""
    soft = Run(taught, "datm", 1).synthetic
    hard = SyntheticSet(soft.images_NCHW, soft.class_labels, soft.step_size)
    evaluation, stream = ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 1)[1], Stream.root(0, "a")
    thetas = [protocol.train(MODEL, one, evaluation, float(soft.step_size), stream).theta_P for one in (hard, soft)]
    assert not torch.allclose(thetas[0], thetas[1], rtol=1e-2, atol=1e-3)
    words = {"dataset": "tiny", "method": "datm", "ipc": 1, "set": 0, "network": "native"}
    for evaluation in ("digits", "digits-val-best"):
        job = repository.make(taught, "evaluate", evaluation=evaluation, **words)
        assert (taught / job.outputs["scores"]).exists()


def test_targets_are_probabilities_and_rows_keep_their_class(taught: Path) -> None:
    soft = Run(taught, "datm", 1).synthetic
    torch.testing.assert_close(soft.targets.sum(1), torch.ones(10))
    doubled = SyntheticSet(soft.images_NCHW, soft.labels.repeat(2, 1), soft.step_size)
    assert doubled.class_labels.tolist() == [label for label in range(10) for _ in range(2)]
    hard = SyntheticSet(soft.images_NCHW, torch.arange(10), soft.step_size)
    assert torch.equal(hard.targets, hard.class_labels)


def test_a_soft_set_reads_back_as_it_was_written(taught: Path, tmp_path: Path) -> None:
    run = Run(taught, "datm", 1)
    synthetic_set.save(tmp_path / "x", run.synthetic)
    synthetic_set.save_snapshots(tmp_path / "y", list(run.snapshots.items()))
    assert same(synthetic_set.load(tmp_path / "x"), run.synthetic)
    found = dict(synthetic_set.load_snapshots(tmp_path / "y"))
    assert found.keys() == run.snapshots.keys()
    assert all(same(found[iteration], run.snapshots[iteration]) for iteration in found)


@pytest.mark.parametrize(("method", "key"), [("datm", f"{TINY}.iterations"), ("tesla-soft", "outer.iterations")])
def test_a_snapshot_of_soft_labels_is_the_end_of_a_run_that_long(method: str, key: str, again: Path) -> None:
    long = Run(again, method, 1)
    short = distil(again, method, **{key: 4})
    assert same(short.synthetic, long.snapshots[4])


def test_a_target_that_teaches_is_the_one_of_its_iteration(taught: Path) -> None:
    run = Run(taught, "tesla-soft", 1)
    for iteration in (0, 2, 4):
        row, snapshot = run.history[iteration], run.snapshots[iteration]
        target = int(row["start_epoch"]) + 2
        wanted = said(taught, int(row["expert"]), target, snapshot.images_NCHW)
        torch.testing.assert_close(snapshot.labels, wanted, rtol=1e-5, atol=1e-6)


def test_a_named_teacher_labels_the_finished_images_and_does_so_again(again: Path) -> None:
    teacher = {"kind": "teacher", "teacher": {"kind": "checkpoint", "expert": 1, "epoch": 3}}
    one = distil(again, "tesla-soft", overrides__tiny__outer__labels=teacher)
    torch.testing.assert_close(one.synthetic.labels, said(again, 1, 3, one.synthetic.images_NCHW), rtol=1e-5, atol=1e-6)
    shutil.rmtree(again / "artifacts/synthetic/tiny/tesla-soft")
    assert same(distil(again, "tesla-soft").synthetic, one.synthetic)


def test_above_the_threshold_nothing_changes_below_it_nothing_is_left_out(again: Path) -> None:
    none = distil(again, "datm", overrides__tiny__outer__loss_threshold=1e-6)
    assert {row["left_out"] for row in none.history} == {"1"}
    assert same(none.synthetic, none.first)
    every = distil(again, "datm", overrides__tiny__outer__loss_threshold=1e6)
    assert {row["left_out"] for row in every.history} == {"0"}
    unbounded = distil(again, "datm", overrides__tiny__outer__loss_threshold=None)
    assert "left_out" not in unbounded.history[0]
    assert same(every.synthetic, unbounded.synthetic)


def test_an_iteration_left_out_leaves_set_and_momentum_as_they_were(again: Path) -> None:
    """A threshold between the losses of the first iterations: the set after them is that of the others alone."""
    losses = [float(row["loss"]) for row in distil(again, "datm", overrides__tiny__outer__loss_threshold=None).history]
    bound = losses[0] * 0.999
    run = distil(again, "datm", **{f"{TINY}.loss_threshold": bound, f"{TINY}.snapshot_every": 1})
    assert run.history[0]["left_out"] == "1"
    assert same(run.snapshots[1], run.first)
    for iteration, row in enumerate(run.history):
        assert (row["left_out"] == "1") == same(run.snapshots[iteration], run.snapshots[iteration + 1])


def test_labels_move_by_a_heavy_ball_of_their_own() -> None:
    outer = ParamsLibrary(repository.ROOT).method("datm", "tiny", 1)[1].outer
    assert outer is not None
    assert isinstance(outer.labels, LearnedLabels)
    sgd = outer.labels.optimiser
    assert isinstance(sgd, Sgd)
    rate, momentum = sgd.learning_rate, sgd.momentum
    optimiser, gradients = OuterOptimiser.from_config(outer), [torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 4.0]])]
    start = torch.tensor([[3.0, 1.0]])
    synthetic = SyntheticSet(torch.zeros(1, 1, 2, 2), start, torch.tensor(0.5).double())
    for iteration, gradient in enumerate(gradients):
        found = Gradients(torch.zeros(1, 1, 2, 2), torch.zeros(()), gradient)
        synthetic = optimiser.update(iteration, synthetic, found)
    wanted = start - rate * gradients[0] - rate * (momentum * gradients[0] + gradients[1])
    torch.testing.assert_close(synthetic.labels, wanted)
    found = Gradients(torch.zeros(1, 1, 2, 2), torch.zeros(()), torch.tensor([[3e38, 3e38]]))
    with pytest.raises(
        NonFiniteError, match=r"^iteration 2: labels is not finite; lower outer.labels.optimiser.learning_rate"
    ):
        optimiser.update(2, synthetic, found)
