"""Laws of the tables: standard errors over clusters, protocols apart, LaTeX that prints as it stands."""

import csv
import json
import math
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from dcpipe.report import cells, tables
from dcpipe.report.cells import Cell
from dcpipe.report.table import Column, Table
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph


@pytest.fixture(scope="module")
def found(made: Path) -> list[Cell]:
    return cells.gather_cells(Graph(made).make_job("report", experiment="two"), made)


def of(cell: Cell, *accuracies: tuple[float, ...], **changes: object) -> Cell:
    """The same cell with other accuracies, one tuple a set."""
    sets = tuple(replace(cell.sets[0], index=i, accuracies=values) for i, values in enumerate(accuracies))
    return replace(cell, sets=sets, **changes)


def test_with_sets_the_error_is_between_set_means_whatever_networks_do(found: list[Cell]) -> None:
    random = of(found[0], (50.0, 50.0), (52.0, 52.0))
    ours = of(found[2], (60.0, 64.0), (66.0, 70.0))
    wider = of(found[2], (52.0, 72.0), (58.0, 78.0))
    gaps = [cells.differences([random, cell])[1] for cell in (ours, wider)]
    assert gaps[0] == gaps[1]
    assert (gaps[0].sample_kind, gaps[0].count, gaps[0].points) == ("sets", 2, 14.0)
    assert gaps[0].error == pytest.approx(math.sqrt(2.0 / 2 + 18.0 / 2))


def test_with_one_set_the_error_is_between_networks_and_says_so(found: list[Cell]) -> None:
    random, ours = of(found[0], (50.0, 52.0, 54.0)), of(found[2], (60.0, 61.0))
    gap = cells.differences([random, ours])[1]
    assert (gap.sample_kind, gap.count) == ("networks", 2)
    assert gap.error == pytest.approx(math.sqrt(statistics.variance([50, 52, 54]) / 3 + 0.5 / 2))


def test_no_spread_is_never_a_clear_win(found: list[Cell]) -> None:
    gap = cells.differences([of(found[0], (50.0,)), of(found[2], (90.0,))])[1]
    assert (gap.error, gap.standard_errors, gap.is_clearly_above) == (None, None, False)


def test_random_under_another_protocol_is_no_baseline(found: list[Cell]) -> None:
    assert found[0].method == "random"
    assert cells.differences([found[0], replace(found[2], protocol="another")]) == {}


def test_bold_are_the_best_and_those_within_two_standard_errors(found: list[Cell]) -> None:
    close, far = ((61.0, 63.0), (64.0, 66.0)), ((50.0, 52.0), (51.0, 53.0))
    column = [replace(of(found[0], *sets), method=name) for name, sets in (("a", close), ("b", close), ("c", far))]
    assert cells.best_methods(column) == {"a", "b"}
    assert cells.best_methods([column[0], column[2]]) == {"a"}
    assert cells.best_methods(column[:2]) == cells.best_methods(column[:1]) == set()
    alone = [replace(of(found[0], (value,)), method=str(value)) for value in (10.0, 90.0)]
    assert cells.best_methods(alone) == set(), "one network has no spread, so nothing stands out"


def test_all_images_have_a_column_of_their_own_and_compete_with_none(found: list[Cell]) -> None:
    rows = [found[0], of(found[2], (50.0, 52.0), (51.0, 53.0)), replace(of(found[0], (99.0, 99.5)), method="whole")]
    rows = [replace(cell, protocol="p", selection="last") for cell in rows]
    (head,) = tables.headlines(rows)
    assert head.columns == (("tiny", 1), ("tiny", None))
    assert [entry.cell.method for entry in head.column("tiny", None)] == ["whole"]
    whole = head.entries["whole", "tiny", None]
    assert not whole.is_best
    assert whole.difference is None
    assert [column.title for column in head.table().columns] == [
        "method",
        "tiny, 1 image per class",
        "tiny, all images",
    ]
    assert tables.cell_table(rows).rows[2][1] == "all"
    assert re.search(r"^tiny +all Random", tables.terminal_text(rows), re.MULTILINE)


def test_a_headline_never_holds_two_protocols_selections_or_networks(found: list[Cell]) -> None:
    more = [*found, *(replace(cell, network="mlp") for cell in found)]
    heads = tables.headlines(more)
    assert len(heads) == 4
    for head in heads:
        inside = {(e.cell.protocol, e.cell.selection, e.cell.network) for e in head.entries.values()}
        assert inside == {(head.protocol, head.selection, head.network)}
        assert bool(head.warning) == (head.selection == "legacy-max")


def test_papers_have_a_column_only_where_they_trained_the_same_network(found: list[Cell]) -> None:
    theirs = replace(found[2], dataset="cifar10", papers_dataset="cifar10", network="convnet3")
    columns = {
        network: [column.title for column in tables.cell_table([replace(theirs, network=network)]).columns]
        for network in ("convnet3", "resnet18")
    }
    assert "papers" in columns["convnet3"]
    assert "papers" not in columns["resnet18"]
    assert "papers" not in [column.title for column in tables.cell_table(found).columns]
    assert "46.2 ± 0.8 / 46.3 ± 0.8" in tables.cell_table([theirs]).csv()


def test_a_cell_beside_a_paper_differs_in_points_and_standard_errors(found: list[Cell]) -> None:
    theirs = replace(found[2], method="mtt", dataset="cifar10-zca", papers_dataset="cifar10", network="convnet3")
    ours = of(theirs, (45.0, 46.0), (43.0, 44.0), (41.0, 42.0))  # set means 45.5, 43.5, 41.5
    first, _ = tables.paper_gaps(ours)
    assert (first.number.mean, first.number.std) == (46.2, 0.8)
    assert first.points == pytest.approx(43.5 - 46.2)
    assert first.error == pytest.approx(math.hypot(2 / math.sqrt(3), 0.8))
    assert first.text == "-2.7, 1.9 SE"
    assert tables.paper_gaps(of(theirs, (45.0,)))[0].text == "-1.2"
    assert tables.paper_gaps(replace(theirs, network="resnet18")) == ()


def test_latex_escapes_every_letter_that_would_not_print(found: list[Cell]) -> None:
    text = r"100 % of $x_1 & #2 {a} ~ ^ \ < > ±"
    table = Table("name", text, (Column(text),), ((text,),))
    escaped = r"100 \% of \$x\_1 \& \#2 \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{} $<$ $>$ $\pm$"
    assert table.latex().count(escaped) == 3
    assert text not in table.latex()


def test_csv_keeps_full_numbers_and_leaves_what_is_not_there_empty(found: list[Cell]) -> None:
    columns = (Column("a", "points"), Column("time", "seconds"))
    table = Table("name", "", columns, ((1 / 3, None),))
    assert table.csv() == f"a,time (seconds)\n{1 / 3!r},\n"
    assert r"0.3 & not measured \\" in table.latex()


def test_no_text_of_a_csv_file_is_a_formula_and_numbers_stay() -> None:
    texts = ("=1+1", "@SUM(A1)", "+cmd", "-cmd", "\tx", "-2.7, 1.9 SE", "-", "MTT")
    table = Table("name", "", (Column("a"), Column("b", "points")), tuple((text, -1.5) for text in texts))
    rows = list(csv.reader(table.csv().splitlines()))[1:]
    assert [row[0] for row in rows] == ["'=1+1", "'@SUM(A1)", "'+cmd", "'-cmd", "'\tx", "-2.7, 1.9 SE", "-", "MTT"]
    assert {row[1] for row in rows} == {"-1.5"}


def test_the_terminal_never_writes_more_than_100_columns(found: list[Cell]) -> None:
    long = [replace(cell, dataset="d" * 60, label="m" * 60, protocol="p" * 90, ipc=50000) for cell in found]
    assert all(len(line) <= 100 for line in tables.terminal_text(long).splitlines())


def test_a_search_shows_what_its_choice_scored_on_validation_images(root: Path) -> None:
    path = root / "params/experiments/two.yaml"
    path.write_text(path.read_text().replace("[digits, digits-legacy-max]", "[digits, digits-searched]"))
    graph = Graph(root)
    for job in graph.experiment_jobs("two"):
        if "digits-searched" in job.name:
            execute_job(job, root)
    found = cells.gather_cells(graph.make_job("report", experiment="two"), root)
    title = [column.title for column in tables.cell_table(found).columns].index("validation")
    for row, cell in zip(tables.cell_table(found).rows, found, strict=True):
        scores = [json.loads((root / one.evaluation.outputs["scores"]).read_text()) for one in cell.sets]
        best = [
            max(rate["validation_mean"] for rate in one.get("searched", [{"validation_mean": 0}])) for one in scores
        ]
        assert row[title] == (pytest.approx(statistics.fmean(best)) if cell.protocol == "digits-searched" else None)
    plain = [cell for cell in found if cell.protocol == "digits"]
    assert "validation" not in [column.title for column in tables.cell_table(plain).columns]
