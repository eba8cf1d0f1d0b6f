"""Laws of `dcpipe reproduce`: every row with a preset is an experiment that plans, runs as any other, and says so."""

from pathlib import Path

import pytest

import repository
from dcpipe.commands import plan
from dcpipe.errors import UserError
from dcpipe.params import resolve
from dcpipe.report import rows
from dcpipe.report.rows import Row
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.runner import ExperimentRunner

ROOT = repository.ROOT


ROWS = {  # the dataset's variant, and the protocol
    "mtt-cifar10-ipc1": ("cifar10-zca", "mtt"),  # MTT, its authors' commands: ZCA below 50 images a class
    "mtt-cifar10-ipc50": ("cifar10", "mtt"),
    "mtt-cifar100-ipc10": ("cifar100-mtt", "mtt"),
    "ftd-cifar100-ipc10": ("cifar100-zca", "mtt"),
    "mct-tiny-imagenet-ipc1": ("tiny-imagenet", "mtt"),
    "dc-cifar10-ipc1": ("cifar10", "dc"),
    "random-mnist-ipc1": ("mnist", "dc"),
    "whole-cifar10": ("cifar10", "dc"),
}


def test_a_row_runs_on_the_datasets_variant_that_its_preset_names() -> None:
    found = {name: rows.reproduction(ROOT, rows.find_row(ROOT, name), sets=1) for name in ROWS}
    assert {name: (one.dataset, one.protocol) for name, one in found.items()} == ROWS


def test_a_row_that_no_table_prints_is_refused() -> None:
    with pytest.raises(UserError, match="no paper's table has a row"):
        rows.find_row(ROOT, "dsa-svhn-ipc1")


def test_every_row_that_has_a_preset_plans_as_it_is_printed() -> None:
    presets = resolve.available_names(ROOT, "methods")
    known = {name: row for name, row in rows.rows().items() if row.method in presets and row.ipc in {None, 1}}
    found = {name: rows.reproduction(ROOT, rows.find_row(ROOT, name), sets=2) for name in known}
    assert len(found) > 30
    given = {name: one.extra["experiments"][name] for name, one in found.items()}
    graph = Graph(ROOT, {"experiments": given})
    for name, row in known.items():
        metrics = graph.make_job("metrics", experiment=name)
        scored = [graph.job_that_makes(path) for path in metrics.inputs["scores"]]
        cell = {"dataset": found[name].dataset, "method": row.method, "ipc": str(row.ipc or 1)}
        assert all(cell.items() <= job.wildcards.items() for job in scored)
        assert len(scored) == (1 if row.ipc is None else 2)
        assert metrics.command.startswith(f"dcpipe reproduce {name} --log")
        assert row.printed is not None
        assert {job.sections["network"] for job in scored} == {row.printed.network}


def test_a_row_runs_as_any_experiment_and_shares_its_artifacts(tiny: Path) -> None:
    found = rows.reproduction(tiny, Row("mtt", "tiny", 1), sets=1, protocol="digits")
    graph = Graph(tiny, found.extra)
    outcomes = {outcome.job.stage: outcome.state for outcome in ExperimentRunner(graph).run_experiment("mtt-tiny-ipc1")}
    assert outcomes == {
        **dict.fromkeys(("data", "experts", "distill", "evaluate"), "current"),
        "metrics": "made",
        "report": "made",
    }
    assert rows.comparison(graph, found)[0].startswith("mtt-tiny-ipc1: here ")
    assert {row.to_run for row in plan.rows(graph, "mtt-tiny-ipc1")} == {0}


def test_a_method_without_a_preset_and_absent_images_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "params/methods/ftd.yaml").unlink()
    with pytest.raises(UserError, match="method 'ftd' has no preset"):
        rows.find_row(root, "ftd-cifar10-ipc1")
    monkeypatch.setenv("DCPIPE_DATA", str(root / "nowhere"))
    found = rows.reproduction(root, rows.find_row(root, "mtt-cifar10-ipc1"), sets=1)
    with pytest.raises(UserError, match=r"nowhere/cifar10: the images of cifar10 are missing; put them there"):
        rows.refuse_absent_data(Graph(root, found.extra), found.dataset)
