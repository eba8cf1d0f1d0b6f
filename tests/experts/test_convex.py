"""Laws of convexified trajectories, on the recorded training of a small network on scikit-learn's digits."""

from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcpipe.errors import UserError
from dcpipe.experts import convex
from dcpipe.random import Stream

EPOCHS, WAYPOINTS = 12, (2, 7)
SIZES = [64 * 12, 12, 12 * 10, 10]
LAYOUT = [(sum(SIZES[:index]), size) for index, size in enumerate(SIZES)]
TIMES = [step / 8 for step in range(8 * EPOCHS + 1)]


def logits(theta: Tensor, x: Tensor) -> Tensor:
    first, bias, second, last = theta.split(SIZES)
    return (x @ first.view(64, 12) + bias).relu() @ second.view(12, 10) + last


@pytest.fixture(scope="module")
def recorded() -> Tensor:
    """13 checkpoints of a network with one hidden layer of 12, trained by SGD on 1000 digits: float32."""
    data = load_digits()
    x, y = torch.tensor(data.data[:1000] / 16).float(), torch.tensor(data.target[:1000])
    generator = Stream.root(0, "convex").generator()
    theta = 0.2 * torch.randn(sum(SIZES), generator=generator)
    gradient = torch.func.grad(lambda p, rows: cross_entropy(logits(p, x[rows]), y[rows]))
    checkpoints = [theta]
    for _ in range(EPOCHS):
        for rows in torch.randperm(1000, generator=generator).split(50):
            theta = theta - 0.2 * gradient(theta, rows)
        checkpoints.append(theta)
    assert (logits(theta, x).argmax(1) == y).float().mean() > 0.9
    return torch.stack(checkpoints)


def stalled(recorded: Tensor) -> Tensor:
    """The same with a first bias that never moves and a last one that moves in the first epoch alone."""
    copy = recorded.clone()
    copy[:, 768:780] = recorded[0, 768:780]
    copy[1:, 900:910] = recorded[1, 900:910]
    return copy


def test_progress_grows_from_zero_to_one_in_every_tensor(recorded: Tensor) -> None:
    beta = convex.progress(recorded, LAYOUT)
    assert (beta.shape, beta.dtype) == ((EPOCHS + 1, 4), torch.float64)
    assert torch.equal(beta[0], torch.zeros(4).double())
    assert torch.equal(beta[-1], torch.ones(4).double())
    assert (beta.diff(dim=0) > 0).all()


def test_progress_is_the_share_of_the_recorded_length(recorded: Tensor) -> None:
    beta = convex.progress(recorded, LAYOUT)
    for tensor, (offset, size) in enumerate(LAYOUT):
        path = recorded[:, offset : offset + size].double()
        lengths = [(after - before).square().sum().sqrt().item() for before, after in pairwise(path)]
        expected = [sum(lengths[:epoch]) / sum(lengths) for epoch in range(EPOCHS + 1)]
        torch.testing.assert_close(beta[:, tensor], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


def test_lengths_logged_in_training_give_the_recorded_experts_progress(recorded: Tensor) -> None:
    lengths = [convex.step_lengths(recorded[e], recorded[e + 1], LAYOUT) for e in range(EPOCHS)]
    logged = convex.progress_of_lengths(torch.stack(lengths))
    assert torch.equal(logged, convex.progress(recorded, LAYOUT))


@pytest.mark.parametrize("waypoints", [(), (6,), WAYPOINTS])
def test_at_the_anchors_the_point_is_the_recorded_checkpoint_bit_for_bit(
    recorded: Tensor, waypoints: tuple[int, ...]
) -> None:
    signed = recorded.clone()
    signed[:, 0] = -0.0
    kept = convex.anchor_checkpoints(signed, waypoints)
    beta = convex.progress(signed, LAYOUT)
    assert kept.epochs == (0, *waypoints, EPOCHS)
    for epoch in kept.epochs:
        theta = convex.point_at(kept, beta, LAYOUT, float(epoch))
        assert theta.numpy().tobytes() == signed[epoch].numpy().tobytes()


def test_a_point_shares_no_memory_with_the_anchors(recorded: Tensor) -> None:
    kept, beta = convex.anchor_checkpoints(recorded, WAYPOINTS), convex.progress(recorded, LAYOUT)
    for time in (0.0, 2.0, 4.5, 12.0):
        convex.point_at(kept, beta, LAYOUT, time).zero_()
    assert torch.equal(kept.theta_AP, recorded[[0, 2, 7, 12]])
    assert kept.theta_AP.data_ptr() != recorded.data_ptr()


def test_without_waypoints_points_are_the_papers_formula(recorded: Tensor) -> None:
    x = recorded.double()
    kept, beta = convex.anchor_checkpoints(x, ()), convex.progress(x, LAYOUT)
    for time in TIMES:
        low, high, part = int(time), min(int(time) + 1, EPOCHS), time - int(time)
        share = (1 - part) * beta[low] + part * beta[high]
        share_P = torch.cat([share[j].expand(size) for j, size in enumerate(SIZES)])
        expected = (1 - share_P) * x[0] + share_P * x[-1]
        torch.testing.assert_close(convex.point_at(kept, beta, LAYOUT, time), expected, rtol=0, atol=1e-14)


def test_between_waypoints_the_path_is_that_of_the_interval_on_its_own(recorded: Tensor) -> None:
    x = recorded.double()
    kept, beta = convex.anchor_checkpoints(x, WAYPOINTS), convex.progress(x, LAYOUT)
    for first, last in ((0, 2), (2, 7), (7, 12)):
        alone = x[first : last + 1]
        kept_alone, beta_alone = convex.anchor_checkpoints(alone, ()), convex.progress(alone, LAYOUT)
        for time in (time for time in TIMES if first <= time <= last):
            expected = convex.point_at(kept_alone, beta_alone, LAYOUT, time - first)
            torch.testing.assert_close(convex.point_at(kept, beta, LAYOUT, time), expected, rtol=0, atol=1e-14)


def test_every_epoch_a_waypoint_passes_through_every_checkpoint(recorded: Tensor) -> None:
    kept, beta = convex.anchor_checkpoints(recorded, range(1, EPOCHS)), convex.progress(recorded, LAYOUT)
    for time in TIMES:
        expected = torch.lerp(recorded[int(time)], recorded[min(int(time) + 1, EPOCHS)], time - int(time))
        torch.testing.assert_close(convex.point_at(kept, beta, LAYOUT, time), expected, rtol=0, atol=1e-6)


def test_in_an_interval_each_tensor_keeps_direction_and_lengths_add_up(recorded: Tensor) -> None:
    x = recorded.double()
    kept, beta = convex.anchor_checkpoints(x, WAYPOINTS), convex.progress(x, LAYOUT)
    for index, (first, last) in enumerate(((0, 2), (2, 7), (7, 12))):
        chord = (kept.theta_AP[index + 1] - kept.theta_AP[index]).split(SIZES)
        for start, span in ((first, 0.75), (first + 0.3, 1.4), (last - 1.1, 1.1)):
            ends = [convex.point_at(kept, beta, LAYOUT, time) for time in (start, start + span)]
            shares = [convex.interval_progress(beta, (first, last), time) for time in (start, start + span)]
            for tensor, moved in enumerate((ends[1] - ends[0]).split(SIZES)):
                share = shares[1][tensor] - shares[0][tensor]
                assert share > 0
                torch.testing.assert_close(moved, share * chord[tensor], rtol=0, atol=1e-14)


def test_the_path_is_continuous_in_time_across_epochs_and_anchors(recorded: Tensor) -> None:
    x = recorded.double()
    kept, beta = convex.anchor_checkpoints(x, WAYPOINTS), convex.progress(x, LAYOUT)
    for epoch in range(1, EPOCHS):
        here = convex.point_at(kept, beta, LAYOUT, float(epoch))
        for beside in (epoch - 1e-9, epoch + 1e-9):
            assert (convex.point_at(kept, beta, LAYOUT, beside) - here).abs().max() < 1e-8


def test_a_tensor_that_stands_still_stays_put_and_progresses_with_time(recorded: Tensor) -> None:
    copy = stalled(recorded)
    kept, beta = convex.anchor_checkpoints(copy, WAYPOINTS), convex.progress(copy, LAYOUT)
    assert torch.equal(beta[:, 1], torch.arange(EPOCHS + 1).double() / EPOCHS)
    assert torch.equal(beta[1:, 3], torch.ones(EPOCHS).double())
    for time in TIMES:
        theta = convex.point_at(kept, beta, LAYOUT, time)
        assert theta.isfinite().all()
        assert torch.equal(theta[768:780], copy[0, 768:780])
        if time >= 2:
            assert torch.equal(theta[900:910], copy[1, 900:910])
    assert convex.interval_progress(beta, (2, 7), 3.25)[3] == pytest.approx(0.25)


def test_a_checkpoint_that_is_not_finite_is_not_taken_for_a_still_one(recorded: Tensor) -> None:
    broken = recorded.clone()
    broken[5, 900] = torch.nan
    beta = convex.progress(broken, LAYOUT)
    assert beta[-1].isnan().tolist() == [False, False, False, True]


def test_points_have_the_dtype_of_the_anchors_and_agree_across_dtypes(recorded: Tensor) -> None:
    beta = convex.progress(recorded, LAYOUT)
    kept, wide = convex.anchor_checkpoints(recorded, WAYPOINTS), convex.anchor_checkpoints(recorded.double(), WAYPOINTS)
    for time in TIMES:
        theta = convex.point_at(kept, beta, LAYOUT, time)
        assert theta.dtype == torch.float32
        expected = convex.point_at(wide, beta, LAYOUT, time).float()
        torch.testing.assert_close(theta, expected, rtol=0, atol=1e-6)


def test_the_convex_path_of_a_real_expert_ends_as_good_and_gets_there(recorded: Tensor) -> None:
    data = load_digits()
    x, y = torch.tensor(data.data[:1000] / 16).float(), torch.tensor(data.target[:1000])
    kept, beta = convex.anchor_checkpoints(recorded, WAYPOINTS), convex.progress(recorded, LAYOUT)
    losses = [
        cross_entropy(logits(convex.point_at(kept, beta, LAYOUT, time), x), y).item()
        for time in (0.0, 1.0, 2.0, 4.5, 7.0, 9.5, 12.0)
    ]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("waypoints", [(0,), (12,), (5, 5), (7, 2), (13,), (-1,)])
def test_waypoints_that_are_no_epochs_in_between_are_the_users_mistake(
    recorded: Tensor, waypoints: tuple[int, ...]
) -> None:
    with pytest.raises(UserError, match=r"waypoints.*epoch 12"):
        convex.anchor_checkpoints(recorded, waypoints)


@pytest.mark.parametrize("time", [-0.1, 12.001, float("nan")])
def test_a_time_outside_the_trajectory_is_the_users_mistake(recorded: Tensor, time: float) -> None:
    kept, beta = convex.anchor_checkpoints(recorded, ()), convex.progress(recorded, LAYOUT)
    with pytest.raises(UserError, match="outside the trajectory"):
        convex.point_at(kept, beta, LAYOUT, time)


@pytest.mark.parametrize("layout", [LAYOUT[:-1], LAYOUT[1:], [*LAYOUT, (910, 1)], LAYOUT[::-1]])
def test_a_layout_that_does_not_tile_the_vector_is_refused(recorded: Tensor, layout: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="layout"):
        convex.progress(recorded, layout)
