"""Laws of averaged sets tested as FTD's public code tests them: after the images before averaging, by one network."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.data import store
from dcpipe.distillation import synthetic_set
from dcpipe.errors import UserError
from dcpipe.evaluation import protocol, side_by_side
from dcpipe.evaluation.accuracy import accuracy
from dcpipe.evaluation.protocol import TrainedNetwork, initial_network
from dcpipe.models.build import build
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph

AVERAGED = {"kind": "ema", "decay": 0.5, "of_iterations": 6}
Scores = dict[str, list[float]]


def _scores(root: Path, evaluation: str, method: str = "mtt") -> Scores:
    words = {**repository.CELL, "method": method, "evaluation": evaluation, "network": "native"}
    job = repository.make(root, "evaluate", **words)
    return dict(json.loads((root / job.outputs["scores"]).read_text()))


def _distilled(root: Path, averaging: dict[str, object]) -> dict[str, bytes]:
    repository.set_params(root, "methods/mtt.yaml", {"outer.averaging": averaging})
    return repository.bytes_below(root / repository.make(root, "distill", **repository.CELL).folder)


@pytest.fixture(scope="module")
def both(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose set is an average, with the images before averaging beside it."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("both") / "root"))
    _distilled(root, {**AVERAGED, "keep_unaveraged": True})
    return root


def test_the_images_before_averaging_are_those_of_a_run_without_it(both: Path, made: Path, tiny: Path) -> None:
    """At every snapshot, bit for bit; and the average is the one of a run that keeps nothing else."""
    _distilled(tiny, AVERAGED)
    folder = Graph(made).make_job("distill", **repository.CELL).folder
    found, plain, average = (
        synthetic_set.load_snapshots(root / folder / "snapshots.safetensors") for root in (both, made, tiny)
    )
    assert [at for at, _ in found] == [at for at, _ in plain] == [0, 2, 4, 6]
    for (_, one), (_, without), (_, alone) in zip(found, plain, average, strict=True):
        assert one.unaveraged_NCHW is not None
        assert torch.equal(one.unaveraged_NCHW, without.images_NCHW)
        assert torch.equal(one.images_NCHW, alone.images_NCHW)
        assert alone.unaveraged_NCHW is None
    finished = synthetic_set.load(both / folder / "synthetic.safetensors").unaveraged_NCHW
    assert finished is not None
    assert torch.equal(finished, plain[-1][1].images_NCHW)


def test_both_numbers_are_given_and_the_first_is_that_without_average(both: Path, made: Path, tiny: Path) -> None:
    found, fresh = _scores(both, "digits-ftd-code"), _scores(both, "digits")
    assert found["unaveraged_accuracies"] == _scores(tiny, "digits")["accuracies"]
    assert "unaveraged_accuracies" not in fresh
    assert found["accuracies"] != fresh["accuracies"]
    assert found["mean"] == sum(found["accuracies"]) / len(found["accuracies"])


def test_the_networks_of_the_average_go_on_from_those_before(both: Path) -> None:
    """By hand: the same networks, trained on one set and then, with a new optimiser, on the other."""
    synthetic = synthetic_set.load(both / Graph(both).make_job("distill", **repository.CELL).outputs["synthetic"])
    assert synthetic.unaveraged_NCHW is not None
    before = replace(synthetic, images_NCHW=synthetic.unaveraged_NCHW)
    evaluation = ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 1)[1]
    model, rate = build("convnet2-w32", channels=1, image_size=8, classes=10), float(synthetic.step_size)
    root = Stream.root(evaluation.seed, "evaluate", "tiny", "mtt", 1, 0, "convnet2-w32")
    streams = [root.child("network", index) for index in range(evaluation.networks)]
    again = [stream.child("round", 1) for stream in streams]
    firsts = [protocol.train(model, before, evaluation, rate, stream) for stream in streams]
    alone = [protocol.train(model, synthetic, evaluation, rate, *pair) for pair in zip(again, firsts, strict=True)]
    test = store.load(both / "artifacts/data/tiny/test.zarr", "test")
    assert _scores(both, "digits-ftd-code")["accuracies"] == [accuracy(model, one.theta_P, test) for one in alone]
    together = side_by_side.train(model, synthetic, evaluation, rate, again, firsts)
    for one, other, first in zip(alone, together, firsts, strict=True):
        torch.testing.assert_close(one.theta_P, other.theta_P, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(one.theta_P, first.theta_P, rtol=1e-3, atol=1e-5)


def test_a_start_at_the_initial_parameters_is_a_fresh_network(made: Path) -> None:
    synthetic = synthetic_set.load(made / Graph(made).make_job("distill", **repository.CELL).outputs["synthetic"])
    evaluation = replace(ParamsLibrary(repository.ROOT).evaluation("digits", "tiny", 1)[1], epochs=3)
    model, stream = build("convnet2-w8", channels=1, image_size=8, classes=10), Stream.root(0, "test")
    start = TrainedNetwork(*initial_network(model, synthetic.images_NCHW, stream))
    fresh, started = (protocol.train(model, synthetic, evaluation, 0.05, stream, one) for one in (None, start))
    assert torch.equal(fresh.theta_P, started.theta_P)


def test_a_set_that_is_no_average_is_tested_by_fresh_networks(made: Path, tiny: Path) -> None:
    for method in ("random", "mtt"):
        found = _scores(tiny, "digits-ftd-code", method)
        assert found["accuracies"] == _scores(tiny, "digits", method)["accuracies"]
        assert "unaveraged_accuracies" not in found


def test_an_average_without_the_images_before_it_is_refused(root: Path) -> None:
    words = {**repository.CELL, "method": "ftd", "evaluation": "digits-ftd-code", "network": "native"}
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("evaluate", **words)
    assert str(caught.value) == (
        "params/methods/ftd.yaml: outer.averaging.kind: keeps the average alone, and protocol digits-ftd-code trains "
        "networks on the images before averaging too; name a preset that keeps both "
        "(outer.averaging.keep_unaveraged), or a protocol whose start is fresh"
    )
    assert Graph(root).make_job("evaluate", **{**words, "method": "ftd-both"})
