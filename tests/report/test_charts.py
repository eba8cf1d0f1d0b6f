"""Laws of the charts: what is drawn is the data; two runs give the same bytes; the page's form keeps the text."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dcpipe.report import cells, charts, figures
from dcpipe.report.cells import Cell
from dcpipe.report.charts import Line
from dcpipe.workflow.graph import Graph

POINTS = tuple((float(i), math.exp(-i / 7) + 0.01 * (i % 3)) for i in range(30))


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def pair(made: Path) -> list[Cell]:
    """Random and MTT under the first protocol."""
    gathered = cells.gather_cells(Graph(made).make_job("report", experiment="two"), made)
    return [cell for cell in gathered if cell.protocol == "digits"]


def test_a_short_line_is_its_points_and_a_long_one_the_means_of_bins(axes: Axes) -> None:
    long = tuple((float(i), float(i % 10)) for i in range(600))
    charts.draw_lines(axes, [Line("short", POINTS, 0), Line("long", long, 1)], x_label="x", y_label="y")
    short, means = axes.get_lines()
    assert [tuple(point) for point in short.get_xydata()] == list(POINTS)
    assert [tuple(point) for point in means.get_xydata()] == [(4.5 + 10 * i, 4.5) for i in range(charts.BINS)]
    (band,) = axes.collections
    assert {value for _, value in band.get_paths()[0].vertices.tolist()} == {0.0, 9.0}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["short", "long"]


def test_an_axis_is_logarithmic_only_if_positive_values_span_far(axes: Axes) -> None:
    spans = {(1.0, 50.0): "linear", (1.0, 51.0): "log", (0.0, 51.0): "linear", (-1.0, 99.0): "linear"}
    for (low, high), scale in spans.items():
        axes.clear()
        charts.draw_lines(axes, [Line("one", ((0.0, low), (1.0, high)), 0)], x_label="x", y_label="y")
        assert axes.get_yscale() == scale
        assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_legend()) == ("x", "y", None)


def test_bins_of_a_logarithmic_axis_have_the_geometric_mean(axes: Axes) -> None:
    points = tuple((float(i), 10.0 ** (i % 4)) for i in range(240))
    charts.draw_lines(axes, [Line("one", points, 0)], x_label="x", y_label="y")
    assert axes.get_lines()[0].get_ydata() == pytest.approx([10**1.5] * charts.BINS)


def test_dots_are_the_accuracies_bars_the_means_and_rows_are_named(axes: Axes, pair: list[Cell]) -> None:
    charts.draw_network_scores(axes, pair, pair[0].mean)
    drawn = {line.get_gid(): line for line in axes.get_lines()}
    for row, cell in enumerate(pair):
        for one in cell.sets:
            dots = drawn.pop(f"networks-{row}-set-{one.index}")
            assert tuple(dots.get_xdata()) == one.accuracies
            assert {round(at) for at in dots.get_ydata()} == {row}
        assert list(drawn.pop(f"mean-{row}").get_xdata()) == [cell.mean] * 2
    assert list(drawn.pop("random-mean").get_xdata()) == [pair[0].mean] * 2
    assert drawn == {}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Random", "MTT"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["set 0", "set 1"]


def test_a_name_is_cut_only_if_it_is_very_long(axes: Axes, pair: list[Cell]) -> None:
    rows = [replace(pair[0], label="n" * length) for length in (charts.LONGEST, charts.LONGEST + 1)]
    charts.draw_network_scores(axes, rows, None)
    whole, cut = (text.get_text() for text in axes.get_yticklabels())
    assert whole == "n" * charts.LONGEST
    assert cut == "n" * (charts.LONGEST - 1) + "…"


def test_numbers_have_four_digits_and_short_exponents() -> None:
    values = {0.03125: "0.03125", 2.5e-4: "2.5e-4", 1e-5: "1e-5", 0.0: "0", 1200.0: "1200", 123456.0: "1.235e5"}
    assert {value: charts.short_number(value) for value in values} == values


DRAW = """
import hashlib, sys
from dcpipe.report import charts
from dcpipe.report.charts import Line
series = [Line("a <b> $c$", ((0, 1), (2, 3)), 0), Line("d", ((0, 2), (2, 1)), 1)]
chart = charts.line_chart("name", "A & B", series, x_label="x", y_label="y")
sys.stdout.write(" ".join(hashlib.sha256(content).hexdigest() for content in chart.files.values()))
"""


def test_the_bytes_depend_on_no_clock_no_hash_seed_and_no_matplotlibrc(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nsvg.fonttype: path\nfont.size: 30\n")
    digests = {
        subprocess.run(
            [sys.executable, "-c", DRAW], capture_output=True, text=True, check=True, cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed, "TZ": zone},
        ).stdout
        for folder, seed, zone in ((Path.cwd(), "1", "UTC"), (tmp_path, "77", "Asia/Tokyo"))
    }  # fmt: skip
    assert len(digests) == 1
    assert len(digests.pop().split()) == 2


def test_the_page_has_text_colours_of_its_own_and_ids_that_meet_nowhere(pair: list[Cell]) -> None:
    line = Line("a <b> & $c$", POINTS, 0)
    one, two = (
        charts.line_chart(name, "T & t", [line, Line("d", POINTS, 1)], x_label="x", y_label="y")
        for name in ("one", "two")
    )
    networks = charts.network_scores_chart("networks", "All", pair, 50.0)
    for chart in (one, two, networks):
        assert not set(re.findall(r"#[0-9a-f]{6}", chart.inline)), "every colour is a variable of the page"
        assert re.findall(r"<svg [^>]*>", chart.inline) == [re.search(r"<svg [^>]*>", chart.inline)[0]]
        targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', chart.inline))
        ids = re.findall(r'\bid="([^"]+)"', chart.inline)
        assert targets
        assert targets <= set(ids)
        assert len(ids) == len(set(ids))
        assert all(name.startswith(f"{chart.name}.") for name in ids)
    assert "<title>T &amp; t</title>" in one.inline
    assert "<desc>a &lt;b&gt; &amp; $c$: from " in one.inline
    assert ">a &lt;b&gt; &amp; $c$</text>" in one.inline
    assert set(figures.COLOURS) >= {*re.findall(r"#[0-9a-f]{6}", one.svg.decode())}


def test_every_chart_of_a_page_is_there_as_svg_and_pdf_and_is_named(made: Path) -> None:
    folder = made / "results/two"
    files = {path.name for path in (folder / "figures").iterdir()}
    page = (folder / "report.html").read_text()
    names = {name.removesuffix(".svg") for name in files if name.endswith(".svg")}
    assert names == {name.removesuffix(".pdf") for name in files if name.endswith(".pdf")}
    assert len(names) == page.count('role="img"') == 6
    for name in names:
        assert f"<code>figures/{name}.svg</code>" in page
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert b"CreationDate" not in (folder / "figures" / f"{name}.pdf").read_bytes()
    for path in (folder / "tables").glob("*.tex"):
        assert f"tables/{path.stem}.csv</code>, <code>.tex</code>" in page


def test_colours_are_those_of_the_style_and_of_the_pages_light_theme() -> None:
    style = (Path(figures.__file__).parent / "templates/style.css").read_text()
    light = dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", style[style.index("color-scheme: light") :]))
    assert {name: light[name] for name in figures.COLOURS.values() if name != "--paper"} == {
        name: colour for colour, name in figures.COLOURS.items() if name != "--paper"
    }
    used = {f"#{colour}" for colour in re.findall(r"\b[0-9a-f]{6}\b", figures.STYLE.read_text())}
    assert used <= figures.COLOURS.keys()
