"""Laws of `dcpipe reproduce`: every row with a preset is an experiment that plans, runs as any other, and says so."""

from pathlib import Path

import pytest

import repository
from dcpipe.commands import plan
from dcpipe.errors import UserError
from dcpipe.report import rows
from dcpipe.report.rows import PaperRow, PlannedRow
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.runner import ExperimentRunner

ROOT = repository.ROOT


ROWS = {  # the dataset's variant, the protocol, and how many sets
    "mtt-cifar10-ipc1": ("cifar10-zca", "mtt-curve", 1),  # MTT, its authors' commands: ZCA below 50 images per class
    "mtt-cifar10-ipc50": ("cifar10", "mtt-curve", 1),
    "mtt-cifar100-ipc10": ("cifar100-mtt", "mtt-curve", 1),
    "ftd-cifar100-ipc10": ("cifar100-zca", "mtt-curve", 1),
    "mct-tiny-imagenet-ipc1": ("tiny-imagenet-zca", "mtt-curve", 1),
    "dm-cifar10-ipc1": ("cifar10", "dsa", 5),  # the papers' images, not a folder of JPEG files
    "dc-cifar10-ipc1": ("cifar10", "dc", 5),
    "gm-md-cifar10-ipc1": ("cifar10", "gm", 2),
    "random-mnist-ipc1": ("mnist", "dc", 5),
    "random-cifar10-ipc10-mtt-curve": ("cifar10", "mtt-curve", 1),
    "whole-cifar10": ("cifar10", "dc", 1),
}


def _planned(name: str) -> PlannedRow:
    (row,) = rows.reproduction(ROOT, rows.find_row(ROOT, name)).rows
    return row


def test_a_row_runs_on_the_datasets_variant_that_its_preset_covers() -> None:
    found = {name: _planned(name) for name in ROWS}
    assert {name: (one.dataset, one.protocol, one.sets) for name, one in found.items()} == ROWS


def test_a_row_that_no_table_prints_is_refused() -> None:
    with pytest.raises(UserError, match="no paper's table has a row"):
        rows.find_row(ROOT, "dsa-svhn-ipc1")


@pytest.mark.slow
def test_every_table_plans_as_it_is_printed(subtests: pytest.Subtests) -> None:
    for table in rows.tables():
        with subtests.test(table=table):
            found = rows.table_reproduction(ROOT, table, sets=1)
            graph = Graph(ROOT, found.extra)
            metrics = graph.make_job("metrics", experiment=f"table-{table}")
            scored = [graph.job_that_makes(path) for path in metrics.inputs["scores"]]
            assert metrics.command.startswith(f"dcpipe reproduce --table {table} --log")
            assert [_cell(job) for job in scored] == [_expected(row) for row in found.rows]


def _cell(job: Job) -> tuple[str, ...]:
    wildcards = [job.wildcards[name] for name in ("dataset", "method", "ipc", "evaluation")]
    return (*wildcards, job.section("network", str))


def _expected(one: PlannedRow) -> tuple[str, ...]:
    return one.dataset, one.row.method, str(one.row.ipc or 1), one.protocol, one.row.network


def test_a_table_leaves_out_what_no_source_covers_and_says_so() -> None:
    found = rows.table_reproduction(ROOT, "ftd-2")
    assert len(found.rows) == 5  # all images of four subsets, and MTT on one of them
    assert len(found.left_out) == 15
    assert "ftd-imagewoof-ipc10" in found.descriptions[-1]
    with pytest.raises(UserError, match="no table 'ftd-7'; did you mean ftd-"):
        rows.find_table("ftd-7")


def test_a_row_runs_as_any_experiment_and_is_compared(tiny: Path) -> None:
    row = PaperRow("mtt", "tiny", 1, "convnet2-w32", "digits-curve")
    with pytest.raises(UserError, match="no source states the values of mtt on tiny at 1 image per class"):
        rows.reproduction(tiny, row)
    repository.set_params(tiny, "methods/mtt.yaml", {"covers": {"tiny": [1]}})
    found = rows.reproduction(tiny, row, sets=1)
    graph = Graph(tiny, found.extra)
    outcomes = {outcome.job.stage: outcome.state for outcome in ExperimentRunner(graph).run_experiment(row.name)}
    assert outcomes == {
        **dict.fromkeys(("data", "experts", "distill"), "current"),
        **dict.fromkeys(("evaluate", "metrics", "report"), "made"),
    }
    head, best = rows.comparison_lines(graph, found)
    assert head.startswith("mtt-tiny-ipc1-convnet2-w32: here ")
    assert "points by selection on test" in best
    assert {one.to_run for one in plan.plan_rows(graph, row.name)} == {0}


def test_a_method_without_a_preset_and_absent_images_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "params/methods/ftd.yaml").unlink()
    with pytest.raises(UserError, match="method 'ftd' has no preset"):
        rows.find_row(root, "ftd-cifar10-ipc1")
    monkeypatch.setenv("DCPIPE_DATA", str(root / "nowhere"))
    found = rows.reproduction(root, rows.find_row(root, "mtt-cifar10-ipc1"))
    with pytest.raises(UserError, match=r"nowhere/cifar10: the images of cifar10 are missing; put them there"):
        rows.refuse_absent_data(Graph(root, found.extra), found.rows[0].dataset)
