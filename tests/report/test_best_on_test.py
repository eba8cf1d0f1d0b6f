"""Laws of the best snapshot on test: never below the finished set, and beside it with the difference."""

from dataclasses import replace
from pathlib import Path

import pytest

from dcpipe.report import cells, tables
from dcpipe.report.best_on_test import best_on_test, selection_table
from dcpipe.report.cells import Cell
from dcpipe.report.curves import converged_at
from dcpipe.workflow.graph import Graph


@pytest.fixture(scope="module")
def curved(made: Path) -> Cell:
    """A cell of two sets whose snapshots were tested; the first is best before its end."""
    found = cells.gather_cells(Graph(made).make_job("report", experiment="two"), made)[2]
    first = replace(found.sets[0], accuracies=(60.0, 62.0), curve=((2, (70.0, 72.0)), (4, (60.0, 62.0))))
    second = replace(found.sets[0], index=1, accuracies=(64.0, 66.0), curve=((2, (50.0, 52.0)), (4, (64.0, 66.0))))
    return replace(found, sets=(first, second))


def test_each_set_gives_its_best_snapshot_and_the_mean_rises(curved: Cell) -> None:
    best = best_on_test(curved)
    assert best is not None
    assert (best.iterations, best.cell.accuracies) == ((2, 4), (70.0, 72.0, 64.0, 66.0))
    assert (curved.mean, best.cell.mean, best.optimism) == (63.0, 68.0, 5.0)
    assert best.text.endswith("(iteration 2, 4), +5.0 points by selection on test")


def test_it_is_none_unless_every_set_was_tested_along_the_way(curved: Cell) -> None:
    bare = replace(curved.sets[0], curve=())
    assert best_on_test(replace(curved, sets=(curved.sets[1], bare))) is None


def test_the_table_of_selection_has_both_numbers_and_their_difference(curved: Cell) -> None:
    bare = replace(curved, sets=(replace(curved.sets[0], curve=()),))
    table = selection_table([curved, bare])
    assert table is not None
    (values,) = table.rows
    row = dict(zip([column.title for column in table.columns], values, strict=True))
    assert row["best on test"] - row["finished set"] == row["by selection on test"] == 5.0
    assert (row["best at iteration"], row["n"], row["std of best"]) == ("2, 4", 4, pytest.approx(10**0.5))
    assert selection_table([bare]) is None


def test_a_curve_converges_within_two_points_of_its_best(curved: Cell) -> None:
    """MCT's rule; the curve of a cell is that of all its sets together."""
    one = replace(curved.sets[0], curve=((0, (10.0,)), (2, (69.9,)), (4, (60.0,)), (6, (70.1,)), (8, (72.0,))))
    assert converged_at(replace(curved, sets=(one,))) == 6
    assert converged_at(curved) == 4  # 61 and 63
    assert converged_at(replace(curved, sets=(replace(one, curve=()),))) is None


def test_the_table_of_cells_shows_it_and_values_without_a_source(curved: Cell) -> None:
    marked = replace(curved, unsourced="values of digits, no source")
    table = tables.cell_table([marked])
    row = dict(zip([column.title for column in table.columns], table.rows[0], strict=True))
    assert (row["best on test"], row["by selection on test"]) == (68.0, 5.0)
    assert row["values"] == "values of digits, no source"
    plain = tables.cell_table([replace(curved, sets=(replace(curved.sets[0], curve=()),))])
    assert {"best on test", "values"}.isdisjoint(column.title for column in plain.columns)


def test_the_table_of_cells_has_each_value_under_its_title(curved: Cell) -> None:
    """With every optional column at once, and the score before averaging among them."""
    sets = tuple(replace(one, unaveraged=(50.0, 54.0), pixels=(-999.0, 999.0)) for one in curved.sets)
    table = tables.cell_table([replace(curved, sets=sets, unsourced="values of digits, no source")])
    row = dict(zip([column.title for column in table.columns], table.rows[0], strict=True))
    assert (row["before averaging"], row["best on test"]) == (52.0, 68.0)
    assert (row["pixels"], row["values"]) == ("! -999 to 999", "values of digits, no source")
    half = (sets[0], replace(sets[1], unaveraged=()))
    assert replace(curved, sets=half).unaveraged_accuracy is None
