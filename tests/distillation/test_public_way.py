"""The law of the benchmark: in float64 our hypergradients are the public codes', as written there."""

from dataclasses import replace

import pytest
import torch
from benchmarks.hypergradient import ours
from benchmarks.workloads import WORKLOADS


@pytest.mark.parametrize("kind", ["exact", "per_step"])
@pytest.mark.parametrize("name", ["digits-ipc10", "cifar10-ipc1-n50"])
@pytest.mark.parametrize("kept", [None, 0, 1, 3])
def test_the_derivatives_are_those_of_the_public_way(name: str, kind: str, kept: int | None) -> None:
    workload = replace(WORKLOADS[name], width=8, kind=kind)
    asked, peer = workload.problem(3, torch.float64)
    for own, theirs in zip(ours(workload, asked, kept)(), peer.of(kind)(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-9 * float(theirs.abs().max()))
