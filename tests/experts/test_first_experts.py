"""Laws of `max_experts`: the first experts of many are imitated, and only they are waited for."""

import csv
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.errors import UserError
from dcpipe.experts import trajectory
from dcpipe.models.build import build
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph


def _write(root: Path, name: str, matching: str) -> None:
    text = f"base: mtt\ndescription: ours\nlabel: ours\nmatching: {matching}\nsources: {{all: ours}}\n"
    (root / f"params/methods/{name}.yaml").write_text(text)


def test_only_the_first_experts_are_imitated_and_waited_for(tiny: Path) -> None:
    _write(tiny, "mtt-first", "{max_experts: 1}")
    imitated = {}
    for name in ("mtt", "mtt-first"):
        job = repository.make_inputs(tiny, "distill", **{**repository.CELL, "method": name})
        if not (tiny / job.folder / "card.json").exists():
            execute_job(job, tiny)
        with (tiny / job.outputs["history"]).open() as file:
            imitated[name] = {line["expert"] for line in csv.DictReader(file)}
        shards = {Path(path).parent.name for path in job.inputs["trajectories"]}
        assert shards == ({"shard0"} if name == "mtt-first" else {"shard0", "shard1"})
    assert imitated == {"mtt": {"0", "1"}, "mtt-first": {"0"}}


def test_a_path_of_first_experts_has_their_parameters(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    experts = build("convnet2-w32", channels=1, image_size=8, classes=10)
    layout = trajectory.ParameterLayout.from_specs("convnet2-w32", experts.layout)
    path = trajectory.RecordedTrajectories([tiny / one for one in job.inputs["trajectories"]], layout)
    first = trajectory.FirstExperts(path, 1)
    assert (path.num_experts, first.num_experts, first.last_epoch) == (2, 1, path.last_epoch)
    assert torch.equal(first.at(0, 1), path.at(0, 1))


def test_as_many_as_there_are_has_no_effect_and_is_refused(root: Path) -> None:
    _write(root, "mtt-all", "{max_experts: 2}")
    with pytest.raises(UserError, match=r"max_experts: 2 has no effect: there are 2 experts; write null"):
        Graph(root).make_job("distill", **{**repository.CELL, "method": "mtt-all"})
