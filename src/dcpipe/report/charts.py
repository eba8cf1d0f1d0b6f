"""The two kinds of chart: quantities as lines, and every single network as a dot.

Each has a function that draws on given matplotlib axes, and one that makes the chart with its files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from dcpipe.report.cells import Cell
from dcpipe.report.figures import INK, QUIET, RULE, Chart, Margins, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS, RAW = 60, 120  # a line of more points than RAW is drawn in BINS bins
LOG_FROM = 50.0  # ratio of largest to smallest value from which an axis is logarithmic
STEPS = (1, 2, 5, 10)  # between ticks
NAME_SIZE = 12  # of the names of rows, for which _width is made
LONGEST = 30  # letters that are shown of a row's name
COLOURS = 6  # of the style's cycle
PLOT, ROW, RIGHT = 256.0, 26.0, 10.0  # points: width of a plot of networks, height of a row, margin on the right
SIZE, LEFT, BOTTOM, TOP = (360.0, 210.0), 64.0, 40.0, 10.0
LEGEND_ROW, LEGEND_LETTERS = 15.0, 44  # height of a row of the legend in points, letters in it

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One named line; its colour is the one of that number in the style's cycle."""

    name: str
    points: Points
    colour: int
    dots: Points = ()  # points that are marked


def line_chart(
    name: str, title: str, series: Sequence[Line], *, x_label: str, y_label: str, x_log: bool = False
) -> Chart:
    """A chart of lines; `x_label` and `y_label` name the axes, `x_log` makes the one along x logarithmic."""
    first_to_last = [f"from {short_number(line.points[0][1])} to {short_number(line.points[-1][1])}" for line in series]
    ends = [
        f"{line.name}: {values} in {len(line.points)} points"
        for line, values in zip(series, first_to_last, strict=True)
    ]
    rows = math.ceil(len(series) / _legend_columns(series)) if len(series) > 1 else 0
    wide, high = SIZE
    return chart(
        name,
        title,
        "; ".join(ends),
        lambda axes: draw_lines(axes, series, x_label=x_label, y_label=y_label, x_log=x_log),
        size=(wide, high + LEGEND_ROW * rows),
        margins=Margins(LEFT, BOTTOM, TOP + LEGEND_ROW * rows, RIGHT),
    )


def draw_lines(axes: "Axes", series: Sequence[Line], *, x_label: str, y_label: str, x_log: bool = False) -> None:
    """The lines, their axes and, where there are several, a legend; the axis is logarithmic if values span far."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    xs = [x for line in series for x, _ in line.points]
    ys = [y for line in series for _, y in line.points]
    is_log = min(ys) > 0 and max(ys) / min(ys) > LOG_FROM
    for line in series:
        _draw_line(axes, line, is_log=is_log)
    if is_log:
        axes.set_yscale("log")
        narrow = max(ys) / min(ys) < 1000
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    if x_log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        narrow = max(xs) / min(xs) < 100
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=6))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=max(xs) - min(xs) >= 1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.set_xlim(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(series) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=_legend_columns(series)).set_gid("legend")


def _draw_line(axes: "Axes", line: Line, *, is_log: bool) -> None:
    colour, gid = f"C{line.colour % COLOURS}", f"line-{line.name}"
    if line.dots:
        dots = zip(*line.dots, strict=True)
        axes.plot(*dots, "o", color=colour, markersize=5, label="_", gid=f"dots-{line.name}", clip_on=False)
    if len(line.points) <= RAW:
        axes.plot(*zip(*line.points, strict=True), color=colour, label=line.name, gid=gid, clip_on=False)
        return
    size = math.ceil(len(line.points) / BINS)
    bins = [line.points[i : i + size] for i in range(0, len(line.points), size)]
    xs, values = [_mean([x for x, _ in one]) for one in bins], [[y for _, y in one] for one in bins]
    axes.fill_between(
        xs, [min(ys) for ys in values], [max(ys) for ys in values], color=colour, alpha=0.16, linewidth=0,
        gid=f"range-{line.name}", clip_on=False,
    )  # fmt: skip
    middle = [_geometric_mean(ys) if is_log else _mean(ys) for ys in values]
    axes.plot(xs, middle, color=colour, label=line.name, gid=gid, clip_on=False)


def _legend_columns(series: Sequence[Line]) -> int:
    """How many names of lines fit beside each other in a legend."""
    longest = max(len(line.name) + 3 for line in series)
    return max(1, min(len(series), LEGEND_LETTERS // longest))


def network_scores_chart(name: str, title: str, cells: Sequence[Cell], baseline: float | None) -> Chart:
    """Every network of some cells as a dot, one row per cell; `baseline` is the mean of random images."""
    left = 20 + max([78.0, *(_width(shortened(cell.label)) for cell in cells)])
    sets = len({one.index for cell in cells for one in cell.sets})
    top = TOP + (LEGEND_ROW * math.ceil(sets / COLOURS) if sets > 1 else 0)
    description = "; ".join(f"{cell.label}: mean {cell.mean:.1f}, {cell.n} networks" for cell in cells)
    return chart(
        name,
        title,
        description,
        lambda axes: draw_network_scores(axes, cells, baseline),
        size=(left + PLOT + RIGHT, top + ROW * len(cells) + BOTTOM),
        margins=Margins(left, BOTTOM, top, RIGHT),
    )


def draw_network_scores(axes: "Axes", cells: Sequence[Cell], baseline: float | None) -> None:
    """Dots coloured by set, a bar at the mean of each row, a dashed line at the mean of random images."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    named: set[int] = set()
    if baseline is not None:
        axes.axvline(baseline, color=QUIET, linestyle=(0, (4, 4)), linewidth=1, gid="random-mean")
    for row, cell in enumerate(cells):
        for one in cell.sets:
            at = row + (0.15 * (one.index - (len(cell.sets) - 1) / 2) if len(cell.sets) < 5 else 0.0)
            label = "_" if one.index in named else f"set {one.index}"
            named.add(one.index)
            axes.plot(
                one.accuracies, [at] * len(one.accuracies), "o", color=f"C{one.index % COLOURS}", alpha=0.75,
                label=label, gid=f"networks-{row}-set-{one.index}", clip_on=False,
            )  # fmt: skip
        axes.plot([cell.mean] * 2, [row - 0.38, row + 0.38], color=INK, linewidth=2, gid=f"mean-{row}", clip_on=False)
    axes.set_yticks(range(len(cells)), [shortened(cell.label) for cell in cells], color=INK, fontsize=NAME_SIZE)
    for row, text in enumerate(axes.get_yticklabels()):
        text.set_gid(f"row-{row}")
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=RULE)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.set_xlabel("test accuracy in percent")
    if len(named) > 1:
        columns = min(len(named), COLOURS)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, handlelength=0.6, fontsize=10
        ).set_gid("legend")  # fmt: skip


def short_number(value: float) -> str:
    """A number with at most four digits: 0.0312, 2.5e-4, 1200."""
    text = f"{value:.4g}"
    if 0 < abs(value) < 1e-3:
        text = f"{value:.3e}"
    mantissa, _, exponent = text.partition("e")
    if "." in mantissa and exponent:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}" if exponent else text


def shortened(name: str) -> str:
    """A row's name, cut if it is very long."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _width(name: str) -> float:
    """How wide a row's name is in the drawing, rather too wide than too narrow."""
    return sum(12.5 if east_asian_width(c) in "WF" else 11 if c in "MW@%" else 9 if c.isupper() else 6.4 for c in name)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(_mean([math.log(value) for value in values]))
