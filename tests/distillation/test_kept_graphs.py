"""Laws of kept graphs: the adjoint's derivatives, the same bits by every budget, and the memory that it says."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import Task, apply, contrast_and_shift, digits, problem, solve
from torch import Tensor

import repository
from dcpipe.distillation.hypergradient import exact, graph_sizes, kept_graphs, per_step, truncated, unrolled
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerTraining
from dcpipe.distillation.hypergradient.kept_graphs import budgeted_hypergradient
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.matching.trajectory_matching import TrajectoryMatching
from dcpipe.errors import Interrupted
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.random import Stream
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.stages import STAGES
from dcpipe.workflow.stopping import request_stop

NETWORKS = pytest.mark.parametrize(
    "network",
    ["convnet2-w8", "convnet2-w8-maxpool", "convnet2-w8-group", "convnet2-w8-layer-swish", "convnet2-w8-batch-maxpool"],
)
KEY = "matching.hypergradient"
SHAPE = {"channels": 1, "image_size": 8, "classes": 10}


def student(
    network: str, dtype: torch.dtype = torch.float64, **changes: Any
) -> tuple[Task, Callable[..., InnerTraining]]:
    """The matching problem of `tiny` for a real network, and its inner loop, as trajectory matching makes it.

    A micro-batch would change what a batch norm sees.
    """
    model, task = build(network, **SHAPE), problem(**changes, dtype=dtype)
    start_P = model.initial_parameters(Stream.root(0, "start").generator(), dtype)
    target_P = start_P + 0.01 * torch.randn(len(start_P), generator=Stream.root(0, "way").generator()).to(dtype)
    inner = partial(make_inner_training, model, derivatives=ConvNetDerivatives.from_name(network, **SHAPE))
    return replace(task, start=start_P, target=target_P, step_size=task.step_size / 10), inner


def bits(kind: Any, inner: InnerTraining, task: Task, *, soft: bool = False) -> list[Tensor]:
    gradients, left = solve(kind, inner, **task.keywords, labels_require_grad=soft)
    labels = [gradients.labels] if soft else []
    return [gradients.images, gradients.step_size, *labels, left.loss, left.gradient_sum, *left.trace.thetas]


def close(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-9) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@NETWORKS
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_every_budget_gives_the_same_bits(network: str, soft: bool) -> None:
    micro_batches = [None] if "batch" in network else [None, 3]
    for dtype in (torch.float32, torch.float64):
        task, inner_of = student(network, dtype, batch=4, steps=4, augmented=True, soft=soft)
        for micro_batch in micro_batches:
            inner = inner_of(augment=contrast_and_shift, micro_batch=micro_batch)
            step = graph_sizes.step_bytes(HypergradientProblem(inner, **task.keywords))
            none, some, every = (
                bits(budgeted_hypergradient(one), inner, task, soft=soft) for one in (0, 2 * step, None)
            )
            assert same(none, every)
            assert same(some, every)


@NETWORKS
def test_the_derivatives_are_those_of_one_graph_through_all_steps(network: str) -> None:
    task, inner_of = student(network, batch=4, steps=4, augmented=True, soft=True)
    inner = inner_of(augment=contrast_and_shift)
    close(
        bits(budgeted_hypergradient(None), inner, task, soft=True),
        bits(unrolled.compute_hypergradient, inner, task, soft=True),
    )


@pytest.mark.parametrize("budget", [0, 10**5, None])
@pytest.mark.parametrize("micro_batch", [None, 3])
def test_tesla_and_truncated_are_themselves_with_kept_graphs(micro_batch: int | None, budget: int | None) -> None:
    task, inner_of = student("convnet2-w8", batch=4, augmented=True, soft=True)
    inner = inner_of(augment=contrast_and_shift, micro_batch=micro_batch)
    tesla = budgeted_hypergradient(budget, through_parameters=False)
    close(bits(tesla, inner, task, soft=True), bits(per_step.compute_hypergradient, inner, task, soft=True))
    for kept in (1, 4, 9):
        cut = truncated.truncated_hypergradient(kept, budgeted_hypergradient(budget))
        close(bits(cut, inner, task, soft=True), bits(truncated.truncated_hypergradient(kept), inner, task, soft=True))


def test_written_out_or_without_a_group_norm_it_is_the_exact_kind() -> None:
    written = student("convnet2-w8", torch.float32, batch=4, augmented=True, soft=True)
    smooth = problem(batch=4, augmented=True, soft=True, dtype=torch.float32), partial(make_inner_training, apply)
    for task, inner_of in (written, smooth):
        for micro_batch in (None, 3):
            inner = inner_of(augment=contrast_and_shift, micro_batch=micro_batch)
            assert same(
                bits(budgeted_hypergradient(None), inner, task, soft=True),
                bits(exact.compute_hypergradient, inner, task, soft=True),
            )


def test_the_derivatives_are_those_of_central_differences() -> None:
    task, inner_of = student("convnet2-w8-swish", batch=4, augmented=True, soft=True)
    inner, h = inner_of(augment=contrast_and_shift), 1e-4
    gradients, _ = solve(budgeted_hypergradient(None), inner, **task.keywords, labels_require_grad=True)
    towards = {"images": digits(20)[0][10:], "step_size": torch.ones(()), "labels": task.labels.sin()}
    for name, direction in towards.items():
        here = getattr(task, name)
        ahead, behind = (
            solve(budgeted_hypergradient(None), inner, **replace(task, **{name: here + way * direction}).keywords)[
                1
            ].loss
            for way in (h, -h)
        )
        slope = (getattr(gradients, name) * direction).sum()
        torch.testing.assert_close((ahead - behind) / (2 * h), slope, rtol=1e-5, atol=0)


def test_no_step_leaves_the_student_at_its_start() -> None:
    task = replace(problem(), draws=problem().draws.before(0))
    gradients, left = solve(budgeted_hypergradient(10**6), make_inner_training(apply), **task.keywords)
    assert left.loss.item() == 1
    assert gradients.images.count_nonzero() == 0


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_budget_holds_as_many_steps_as_fit(micro_batch: int | None) -> None:
    task, inner_of = student("convnet2-w8", steps=8)
    asked = HypergradientProblem(inner_of(micro_batch=micro_batch), **task.keywords)
    step = graph_sizes.step_bytes(asked)
    assert [kept_graphs.kept_steps(asked, k * step) for k in range(11)] == [*range(9), 8, 8]
    assert kept_graphs.kept_steps(asked, step - 1) == 0
    assert kept_graphs.kept_steps(asked, None) == 8


WIDE = "convnet2-w64"
WIDE_BY_AUTOGRAD = "convnet2-w64-group"  # its derivatives are not written out


def wide_problem(network: str, steps: int, micro_batch: int | None) -> HypergradientProblem:
    """The hypergradient of 50 digits."""
    task, inner_of = student(network, torch.float32, count=50, steps=steps)
    return HypergradientProblem(inner_of(micro_batch=micro_batch), **task.keywords)


def peak_bytes(network: str, steps: int, micro_batch: int | None, budget: int | None) -> int:
    """What a process takes at most that asks for it."""
    from dcpipe import device

    device.configure_torch(1)
    budgeted_hypergradient(budget)(wide_problem(network, steps, micro_batch))
    return device.peak_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "micro_batch", "budget"),
    [
        (WIDE, None, None),
        (WIDE_BY_AUTOGRAD, None, None),
        pytest.param(WIDE, 10, None, marks=pytest.mark.long),
        (WIDE, None, 0),
        pytest.param(WIDE_BY_AUTOGRAD, None, 0, marks=pytest.mark.long),
    ],
)
def test_a_process_grows_by_at_most_what_is_predicted(
    network: str, micro_batch: int | None, budget: int | None
) -> None:
    """From 3 to 18 steps, each in a process of its own: kept steps grow as said, others not at all."""
    asked = wide_problem(network, 3, micro_batch)
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as apart:
        few, many = apart.map(peak_bytes, [network] * 2, [3, 18], [micro_batch] * 2, [budget] * 2)
    grown, predicted = (many - few) / 15 - asked.start_P.nbytes, graph_sizes.step_bytes(asked)
    if budget is None:
        assert 1.0 <= predicted / grown <= 1.1 * graph_sizes.ALLOWANCE  # the system counts whole pages
    else:
        assert grown < 0.1 * predicted


def cell(root: Path, graphs: object, **values: object) -> Any:
    repository.set_params(root, "methods/mtt.yaml", {f"{KEY}.kept_graphs": graphs, **values})
    return Graph(root).make_job("distill", **repository.CELL)


def test_a_set_has_the_same_bytes_by_every_budget(tiny: Path, tmp_path: Path) -> None:
    found, cards = {}, {}
    for graphs in ("none", "auto", "all", {"kind": "budget", "megabytes": 1}):
        name = str(graphs).replace(" ", "")
        execute_job(cell(tiny, graphs), tiny, folder=tmp_path / name)
        found[name] = repository.bytes_below(tmp_path / name)
        cards[name] = json.loads(found[name].pop("card.json"))
    none, *kept = found.values()
    assert all(one == none for one in kept)
    facts = [card["facts"].get("kept_graphs") for card in cards.values()]
    steps = cell(tiny, "none").section("method", object).matching.inner_steps
    assert facts[:3] == [None, steps, steps]
    assert 0 < facts[3] < steps
    assert all(card["facts"]["kept_graph_bytes"] > 0 for name, card in cards.items() if name != "none")


def test_a_stopped_run_resumes_to_the_same_bytes(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = cell(tiny, {"kind": "budget", "megabytes": 1})
    execute_job(job, tiny, folder=tmp_path / "whole", keep_state=False)
    real = TrajectoryMatching.draw_episode

    def draw(self: TrajectoryMatching, iteration: int, num_images: int) -> Any:
        if iteration == 2:
            request_stop()
        return real(self, iteration, num_images)

    with monkeypatch.context() as patch:
        patch.setattr(TrajectoryMatching, "draw_episode", draw)
        with pytest.raises(Interrupted):
            execute_job(job, tiny)
    execute_job(job, tiny)
    assert repository.bytes_below(tiny / job.folder) == repository.bytes_below(tmp_path / "whole")


@pytest.mark.parametrize(
    ("graphs", "words"),
    [
        ("many", "'all', 'auto'"),
        ({"kind": "budget", "megabytes": 0}, "kept_graphs.megabytes: input should be greater than or equal to 1"),
        ({"kind": "budget"}, "kept_graphs.megabytes: this key is missing"),
        (500, "kept_graphs"),
    ],
)
def test_what_no_budget_says_is_refused(graphs: object, words: str, tiny: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {f"{KEY}.kept_graphs": graphs})
    code, printed = repository.dcpipe(tiny, "plan", "tiny")
    assert code == 2
    assert words in printed
    assert "params/methods/mtt.yaml" in printed


def test_a_compiled_step_is_kept_where_it_is_written_out(tiny: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {f"{KEY}.kept_graphs": "auto", "compute.backend": "compiled"})
    assert Graph(tiny).make_job("distill", **repository.CELL)
    repository.set_params(tiny, "experts/plain.yaml", {"network": "convnet2-w8-group"})
    code, printed = repository.dcpipe(tiny, "plan", "tiny")
    assert code == 2
    assert "kept_graphs: has no effect on compiled steps of convnet2-w8-group" in printed


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.long
def test_compiled_and_written_out_every_budget_gives_the_same_bits() -> None:
    task, inner_of = student("convnet2-w8", torch.float32, batch=4, steps=3, augmented=True, soft=True)
    eager, compiled = (inner_of(augment=contrast_and_shift, backend=backend) for backend in ("eager", "compiled"))
    every = bits(budgeted_hypergradient(None), compiled, task, soft=True)
    assert same(bits(budgeted_hypergradient(0), compiled, task, soft=True), every)
    assert same(bits(exact.compute_hypergradient, compiled, task, soft=True), every)
    close(every, bits(budgeted_hypergradient(None), eager, task, soft=True), 1e-4)


def test_the_plan_knows_of_kept_graphs(tiny: Path) -> None:
    """Within a tenth of what is predicted from the traced step; fewer operations for each step."""
    plans = [STAGES["distill"].estimate_work(Graph(tiny), cell(tiny, graphs)) for graphs in ("none", "all")]
    execute_job(cell(tiny, "all"), tiny)
    card = json.loads((tiny / Graph(tiny).make_job("distill", **repository.CELL).outputs["card"]).read_text())
    assert 0.9 <= (plans[1].held_bytes - plans[0].held_bytes) / card["facts"]["kept_graph_bytes"] <= 1.1
    assert 0.7 < plans[1].operations / plans[0].operations < 0.8
