"""Matchings with networks of their own: what cannot work or would do nothing is refused, with file and key."""

from pathlib import Path

import pytest

import repository
from dcpipe.distillation.matching.trajectory_config import TrajectoryMatchingConfig
from dcpipe.errors import UserError
from dcpipe.workflow.graph import Graph

FIXED = {"kind": "fixed", "count": 1}
REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "a compiled backend": (
        "dc",
        {"compute.backend": "compiled"},
        "compute.backend: has no effect on gradient matching; write eager",
    ),
    "a learned step size": (
        "dm",
        {
            "outer.step_size": {
                "kind": "learned",
                "initial": 0.01,
                "optimiser": {"kind": "sgd", "learning_rate": 1e-5, "momentum": 0.5},
            }
        },
        "outer.step_size.kind: learned has no effect here: it needs students, which distribution matching "
        "does not have; choose another kind",
    ),
    "training that no update follows": (
        "dc",
        {"overrides.tiny.matching.updates": FIXED},
        "overrides.tiny.matching.training.kind: has no effect with one update a network; "
        "write none, or raise updates.count",
    ),
    "training that no update follows, of features": (
        "cafe",
        {"overrides.tiny.matching.updates": FIXED},
        "overrides.tiny.matching.training.kind: has no effect with one update a network; "
        "write none, or raise updates.count",
    ),
    "a distance of nothing": (
        "dc",
        {"matching.distance.angle": 0.0},
        "matching.distance.angle: angle and magnitude are both 0; give angle a weight, or choose a magnitude",
    ),
    "a network too deep for the images": (
        "dm",
        {"matching.network": "convnet5"},
        "matching.network: convnet5 halves its images 5 times, 8x8 pixels allow 3; take a depth of at most 3",
    ),
    "layers of a network that is no ConvNet": (
        "cafe",
        {"matching.network": "mlp"},
        "matching.network: feature matching needs a network of blocks, and mlp is not one; "
        "choose a ConvNet, such as convnet3",
    ),
    "layers with batch norm": (
        "cafe",
        {"matching.network": "convnet2-batch"},
        "matching.network: convnet2-batch has batch norm, and CAFE does not describe its features; "
        "choose the same network with instance or group norm",
    ),
    "a weight too few": (
        "cafe",
        {"overrides.digits.matching.layer_weights": [0.1, 1.0]},
        "overrides.digits.matching.layer_weights: 2 weights for the 2 blocks of convnet2-w32 and its features; write 3",
    ),
    "inter-class levels of no weight": (
        "dc",
        {"matching.levels": {"kind": "inter-class", "weight": 0.0}},
        "matching.levels.weight: with a weight of 0 nothing is matched; write a number above 0, or classes",
    ),
    "a weight that is no number": (
        "gm-m",
        {"matching.levels.weight": "class"},
        "matching.levels.weight: a weight is a number from 0, or the word classes (it is 'class')",
    ),
    "a weight below 0": (
        "gm-m",
        {"matching.levels.weight": -1},
        "matching.levels.weight: a weight is a number from 0, or the word classes (it is -1)",
    ),
    "a network that does not exist": (
        "dc",
        {"matching.network": "convnet2-w"},
        "matching.network: network: there is no network 'convnet2-w' (did you mean 'convnet2'?)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_or_would_do_nothing_is_refused_when_planned(name: str, root: Path) -> None:
    method, values, told = REFUSED[name]
    repository.set_params(root, f"methods/{method}.yaml", values)
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("distill", **{**repository.CELL, "method": method})
    assert str(caught.value).startswith(f"params/methods/{method}.yaml: {told}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["dc", "gm-mdo", "dm", "cafe"])
def test_no_experts_are_trained_for_a_method_that_draws_its_own_networks(method: str, root: Path) -> None:
    job = Graph(root).make_job("distill", **{**repository.CELL, "method": method})
    assert set(job.inputs) == {"train"}
    assert "params/experts/plain.yaml" not in job.params
    assert job.params["params/datasets/tiny.yaml"] == {"network": "convnet2-w32"}
    repository.set_params(root, f"methods/{method}.yaml", {"matching.network": "convnet2-w16"})
    other = Graph(root).make_job("distill", **{**repository.CELL, "method": method})
    assert "params/datasets/tiny.yaml" not in other.params, "the dataset's own network does not matter any more"
    assert other.sections["network"] == "convnet2-w16"


def test_editing_one_matching_reruns_no_other(root: Path) -> None:
    methods = {"mtt": "trajectory", "dc": "gradient", "dm": "distribution", "cafe": "features"}
    names = {kind: f"dcpipe.distillation.matching.{kind.removesuffix('s')}_matching" for kind in methods.values()}
    for method, kind in methods.items():
        job = Graph(root).make_job("distill", **{**repository.CELL, "method": method})
        assert {own for own, module in names.items() if module in job.modules} == {kind}
        is_trajectory = isinstance(getattr(job.sections["method"], "matching", None), TrajectoryMatchingConfig)
        assert ("dcpipe.distillation.matching.network_matching" in job.modules) != is_trajectory
