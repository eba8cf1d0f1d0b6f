"""Laws of the outer optimisers: torch.optim's own steps, taken up again to the bit, under every sharpness rule."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, optim
from torch.nn import Parameter

import repository
from dcpipe.distillation.optimisers.optimiser_config import Adam, Sgd
from dcpipe.params.outer_axes import OptimiserConfig
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

SGD = Sgd(kind="sgd", learning_rate=0.1, momentum=0.5)
ADAM = Adam(kind="adam", learning_rate=0.1, beta_1=0.9, beta_2=0.99, epsilon=1e-8)
CPU = torch.device("cpu")
OPTIMISER = {"kind": "adam", "learning_rate": 0.05, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1.0e-8}


def _numbers(name: str, index: int) -> Tensor:
    return torch.randn(3, 2, 4, generator=Stream.root(0, name, index).generator())


@pytest.mark.parametrize("config", [SGD, ADAM], ids=["sgd", "adam"])
def test_steps_are_those_of_torch_to_the_bit(config: OptimiserConfig) -> None:
    parameter = Parameter(_numbers("start", 0))
    theirs = (
        optim.SGD([parameter], lr=0.1, momentum=0.5)
        if config is SGD
        else optim.Adam([parameter], lr=0.1, betas=(0.9, 0.99), eps=1e-8, foreach=False)
    )
    ours, tensor = config.build(), _numbers("start", 0)
    for index in range(5):
        parameter.grad = _numbers("gradient", index)
        theirs.step()
        tensor = ours.step(tensor, _numbers("gradient", index))
        assert torch.equal(tensor, parameter.detach())


@pytest.mark.parametrize("config", [SGD, ADAM], ids=["sgd", "adam"])
def test_a_saved_state_goes_on_to_the_same_bits(config: OptimiserConfig) -> None:
    whole, tensor = config.build(), _numbers("start", 0)
    for index in range(3):
        tensor = whole.step(tensor, _numbers("gradient", index))
    again = config.build()
    again.load_state_dict({name: value.clone() for name, value in whole.state_dict().items()}, CPU)
    there = here = tensor
    for index in range(3, 6):
        there, here = (each.step(at, _numbers("gradient", index)) for each, at in ((whole, there), (again, here)))
    assert torch.equal(there, here)


@pytest.mark.parametrize("config", [SGD, ADAM], ids=["sgd", "adam"])
def test_steps_of_a_copy_leave_the_original_alone(config: OptimiserConfig) -> None:
    original, tensor = config.build(), _numbers("start", 0)
    original.step(tensor, _numbers("gradient", 0))
    before = {name: value.clone() for name, value in original.state_dict().items()}
    copied = original.copy()
    copied.step(tensor, _numbers("gradient", 1))
    assert before.keys() == original.state_dict().keys()
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in before.items())
    assert not all(torch.equal(value, copied.state_dict()[name]) for name, value in before.items())


def _set_up(root: Path, preset: str, outer: Mapping[str, object]) -> None:
    values = {"iterations": 4, "snapshot_every": 2, "images": {"optimiser": OPTIMISER}, **outer}
    text = {"base": preset, "description": "x", "label": "x", "outer": values}
    (root / "params/methods/adaptive.yaml").write_text(repository.yaml.safe_dump(text))


@pytest.mark.parametrize("preset", ["mtt", "mtt-sam", "mtt-gsam", "mtt-asam", "mtt-vasso", "satm", "datm", "dc"])
def test_every_sharpness_rule_and_matching_takes_adam(preset: str, tiny: Path) -> None:
    growing = {} if preset != "datm" else {"labels": {"optimiser": {**OPTIMISER, "learning_rate": 0.5}}}
    _set_up(tiny, preset, growing)
    words = {**repository.CELL, "method": "adaptive"}
    job = repository.make_inputs(tiny, "distill", **words)
    repository.execute_job(job, tiny)
    first = repository.bytes_below(tiny / job.folder)
    assert "dcpipe.distillation.optimisers.adam_optimiser" in job.modules
    shutil.rmtree(tiny / job.folder)
    repository.execute_job(Graph(tiny).make_job("distill", **words), tiny)
    again = repository.bytes_below(tiny / job.folder)
    assert {name for name in first if first[name] != again[name]} <= {"card.json"}
