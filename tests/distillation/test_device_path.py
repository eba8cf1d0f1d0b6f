"""Laws of the inner path on a device: nothing waits for the host, and nothing is copied to it or from it.

The meta device stands for an accelerator: it holds shapes and no numbers, so that whatever asks for a number fails.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dcpipe.data import augment
from dcpipe.distillation.hypergradient import exact, kept_graphs, per_step
from dcpipe.distillation.hypergradient.hypergradient_problem import Hypergradient, HypergradientProblem, InnerDraws
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.student import draw_batches
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives

SHAPE = {"channels": 3, "image_size": 8, "classes": 10}
NETWORKS = ["convnet2-w8", "convnet2-w8-batch-maxpool"]  # written out, and by autograd
WAYS = {
    "exact": exact.compute_hypergradient,
    "all kept": kept_graphs.budgeted_hypergradient(None),
    "none kept": kept_graphs.budgeted_hypergradient(0),
    "per_step": per_step.compute_hypergradient,
}


class Crossings(TorchDispatchMode):
    """Notes every operation that asks for a number, or takes a tensor from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        name = str(function)
        inputs = {one.device for one in args if isinstance(one, Tensor) and one.dim()}
        outputs = {found.device} if isinstance(found, Tensor) else set()
        if "_local_scalar_dense" in name or "nonzero" in name or (inputs and outputs and inputs != outputs):
            self.seen.append(name)
        return found


def on_device(network: str, family: str, device: str) -> HypergradientProblem:
    """A problem whose tensors and draws are on a device, as trajectory matching moves them before the first step."""
    generator, model = torch.Generator().manual_seed(0), build(network, **SHAPE)
    start_P = model.initial_parameters(generator).to(device)
    target_P = torch.zeros_like(start_P)
    images = torch.randn(10, 3, 8, 8, generator=generator).to(device)
    batches = draw_batches(10, 5, 4, generator)
    draw = partial(augment.draw, augment.parse_strategy(family), height=8, width=8, generator=generator, siamese=False)
    return HypergradientProblem(
        make_inner_training(model, derivatives=ConvNetDerivatives.from_name(network, **SHAPE), augment=augment.apply),
        images_NCHW=images,
        labels=torch.arange(10, device=device),
        step_size=torch.tensor(0.1, device=device),
        start_P=start_P,
        objective=lambda theta_P: (theta_P - target_P).square().sum(),  # asked once; the real one looks at its numbers
        draws=InnerDraws(
            tuple(rows.to(device) for rows in batches), tuple(draw(batch=len(rows)).to(device) for rows in batches)
        ),
    )


def crossings(way: Callable[[], object]) -> list[str]:
    with Crossings() as seen:
        way()
    return seen.seen


@pytest.mark.parametrize("family", augment.FAMILIES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_iteration_neither_waits_nor_copies(way: Hypergradient, network: str, family: str) -> None:
    asked = on_device(network, family, "meta")
    assert crossings(lambda: way(asked)) == []


def test_what_waits_or_copies_is_seen() -> None:
    there, here = torch.ones(3, device="meta"), torch.ones(3)
    assert crossings(lambda: here.to("meta")) == ["aten._to_copy.default"]
    assert crossings(lambda: float(here[0])) == ["aten._local_scalar_dense.default"]
    for asks in (lambda: float(there[0]), there.cpu, lambda: bool(there[0] > 0)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            asks()
