"""Laws of estimates: they grow with what they count, measured jobs come first, and rules ask for more than is used."""

from pathlib import Path

import pytest

from dcpipe.distillation.hypergradient.hypergradient_config import Exact, Unrolled
from dcpipe.engines.snakemake import SnakemakeRules
from dcpipe.params.work import FLOAT_BYTES, InnerSizes, NetworkSize, Work
from dcpipe.workflow import costs
from dcpipe.workflow.estimates import REQUEST_FACTOR, Estimates, ResourceEstimate, memory_bytes, requested_mb, seconds
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.machine import Machine
from dcpipe.workflow.stages import STAGES

NETWORK = NetworkSize(parameters=1000, activations=500, widest=200, operations=5000)


def test_work_adds_up_and_phases_do_not_lie_on_top_of_each_other() -> None:
    first, second = Work(held_bytes=10, phases=(100.0,), operations=1, calls=1), Work(phases=(40.0,), operations=2)
    both = first + second.times(5)
    assert (both.held_bytes, both.operations, both.calls) == (10, 11, 1)
    assert first.peak_bytes == 110
    assert first.peak_bytes < both.peak_bytes < first.peak_bytes + second.peak_bytes


def test_each_inner_step_adds_a_vector_and_its_time() -> None:
    exact = Exact(kind="exact", micro_batch=None)
    work = [exact.estimate_work(InnerSizes(NETWORK, steps, images=10, numbers=64)) for steps in (10, 20)]
    assert work[1].held_bytes - work[0].held_bytes == 10 * FLOAT_BYTES * NETWORK.parameters
    assert max(work[1].phases) == max(work[0].phases)
    assert work[1].operations == 2 * work[0].operations
    cut = Exact(kind="exact", micro_batch=5).estimate_work(InnerSizes(NETWORK, 10, images=10, numbers=64))
    assert max(cut.phases) < max(work[0].phases)
    assert cut.operations == work[0].operations
    unrolled = [
        Unrolled(kind="unrolled").estimate_work(InnerSizes(NETWORK, steps, 10, 64)).peak_bytes for steps in (10, 20)
    ]
    assert unrolled[1] == pytest.approx(2 * unrolled[0], rel=0.05)


def test_every_job_has_an_estimate_and_asks_for_more(root: Path) -> None:
    for experiment in ("digits", "cifar10-gradient", "ablations"):
        graph = Graph(root)
        for job in graph.experiment_jobs(experiment):
            work = STAGES[job.stage].estimate_work(graph, job)
            assert work.peak_bytes > 0 or job.stage in {"metrics", "report"}
            computes = STAGES[job.stage].numeric and job.wildcards.get("method") not in {"random", "whole"}
            assert work.operations > 0 or not computes, job.name
            asked = requested_mb(graph, job) * 1e6
            assert asked >= memory_bytes(Machine(), work)


def _mtt(root: Path, *, ipc: int, index: int) -> Job:
    return Graph(root).make_job("distill", dataset="digits", method="mtt", ipc=ipc, set=index)


def test_measured_costs_of_equal_work_are_taken_others_scaled(root: Path) -> None:
    graph, other = Graph(root), _mtt(root, ipc=10, index=0)
    first, second = (_mtt(root, ipc=1, index=index) for index in (0, 1))
    costs.write_costs(root / first.costs_path, seconds=100.0, peak_bytes=123, device="cpu")
    found = Estimates(graph, Machine(), [first, second, other])
    for job in (first, second):
        assert found.estimate(job) == ResourceEstimate(123, 100.0, memory_measured=True, seconds_measured=True)
    scaled, works = found.estimate(other), [found.estimate_work(job) for job in (first, other)]
    assert scaled.seconds == pytest.approx(100.0 * seconds(Machine(), works[1]) / seconds(Machine(), works[0]))
    assert scaled.memory_bytes == memory_bytes(Machine(), works[1]) > memory_bytes(Machine(), works[0])
    assert scaled == ResourceEstimate(scaled.memory_bytes, scaled.seconds)  # an estimate


def test_a_rule_asks_for_as_much_memory_again_with_every_attempt(root: Path) -> None:
    flow = SnakemakeRules({"experiment": "tiny"}, root)
    wildcards = {"dataset": "tiny", "method": "mtt", "ipc": "1", "set": "0"}
    memory = flow.resources("distill")["mem_mb"]
    once = memory(wildcards, attempt=1)
    assert once == requested_mb(Graph(root), Graph(root).make_job("distill", **wildcards))
    assert memory(wildcards, attempt=3) == 3 * once
    work = STAGES["distill"].estimate_work(Graph(root), flow.job("distill", wildcards))
    assert once * 1e6 >= REQUEST_FACTOR * memory_bytes(Machine(), work)
