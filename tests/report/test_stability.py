"""Laws of the table of steadiness: the figures are those of the histories, and a spike is one among many."""

import csv
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from dcpipe.report import report_stage, stability
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph


@pytest.mark.parametrize(("height", "count"), [(1.0, 0), (1.1, 1), (50.0, 1)])
def test_a_spike_stands_alone_above_many(height: float, count: int) -> None:
    """Of n equal values and one other, that one lies sqrt(n) deviations above the mean, however little it differs."""
    assert stability.spikes([1.0] * 26 + [height]) == count
    assert stability.spikes([1.0] * 24 + [height]) == 0


def test_spread_knows_no_unit_and_is_nothing_for_equal_values() -> None:
    values = [0.5, 1.0, 4.0]
    assert stability.coefficient_of_variation(values) == pytest.approx(
        stability.coefficient_of_variation([7 * value for value in values])
    )
    assert stability.coefficient_of_variation([3.0] * 9) == stability.coefficient_of_variation([0.0] * 9) == 0.0


def test_what_is_not_finite_or_not_there_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("iteration,loss,cosine\n0,inf,\n1,2.5,0.5\n")
    found = stability.read_history(tmp_path / "history.csv")
    assert found["loss"] == [float("inf"), 2.5]
    assert found["cosine"][0] != found["cosine"][0]
    assert stability._finite(found["cosine"]) == [0.5]


def test_a_row_says_what_the_histories_say(root: Path) -> None:
    path = root / "params/experiments/two.yaml"
    path.write_text(
        path.read_text().replace("[random, mtt]", "[random, mtt, mtt-sam, dm]").replace(", digits-legacy-max", "")
    )
    graph = Graph(root)
    for job in graph.experiment_jobs("two"):
        if not job.is_view and not (root / job.folder / "card.json").exists():
            execute_job(job, root)
    execute_job(graph.make_job("metrics", experiment="two"), root)
    report_stage.run(graph.make_job("report", experiment="two"), root)
    page = root / graph.make_job("report", experiment="two").outputs["page"]
    mtt, sam, dm = csv.DictReader((page.parent / "tables/gradients.csv").open())
    histories = [
        list(csv.DictReader((root / f"artifacts/synthetic/tiny/mtt-sam/ipc1/set{index}/history.csv").open()))
        for index in range(2)
    ]
    norms = [[float(row["first_gradient_norm"]) for row in rows] for rows in histories]
    assert int(sam["updates"]) == sum(map(len, norms))
    assert float(sam["gradient norm"]) == pytest.approx(fmean(map(fmean, norms)))
    assert float(sam["deviation / mean"]) == pytest.approx(fmean(pstdev(found) / fmean(found) for found in norms))
    assert float(sam["cosine"]) == pytest.approx(fmean(float(row["cosine"]) for rows in histories for row in rows))
    ends = [float(row["rise"]) for rows in histories for row in rows[-max(1, round(len(rows) / 10)) :]]
    assert float(sam["rise, last tenth"]) == pytest.approx(fmean(ends))
    assert mtt["cosine"] == mtt["rise, first tenth"] == ""
    assert dm["cosine"] == ""
    text = page.read_text()
    assert "Steadiness" in text
    assert text.count("<figcaption>step size <span>") == 2, "DM's never moves"
    assert text.count("<figcaption>matching loss <span>") == 3
