"""Paths of networks in the plane of two principal components, as a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcpipe.report.charts import COLOURS, Points, short_number
from dcpipe.report.figures import Chart, Margins, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE, HIGH, LEFT, BOTTOM, TOP, RIGHT = 284.0, 200.0, 64.0, 40.0, 28.0, 12.0  # points


@dataclass(frozen=True, slots=True)
class PlanePath:
    """A path in the plane; paths of one name are one row of the legend. `dots`: the points that are marked."""

    name: str
    points: Points
    dots: Points
    colour: int


def plane_chart(name: str, title: str, paths: Sequence[PlanePath], explained: tuple[float, float]) -> Chart:
    """A chart with equal scales on both axes. `explained`: the share of the variance along each, 0 to 1."""
    counts = "; ".join(f"{path.name}: {len(path.points)} points" for path in paths)
    held = f"the plane holds {100 * sum(explained):.1f} % of the variance"
    return chart(
        name,
        title,
        f"{counts}; {held}",
        lambda axes: draw_plane(axes, paths, explained),
        size=(LEFT + WIDE + RIGHT, TOP + HIGH + BOTTOM),
        margins=Margins(LEFT, BOTTOM, TOP, RIGHT),
    )


def draw_plane(axes: "Axes", paths: Sequence[PlanePath], explained: tuple[float, float]) -> None:
    """The paths as lines with their dots; the later one lies above."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    named: set[str] = set()
    for number, path in enumerate(paths):
        colour, label = f"C{path.colour % COLOURS}", "_" if path.name in named else path.name
        named.add(path.name)
        axes.plot(*zip(*path.points, strict=True), color=colour, label=label, gid=f"path-{number}-{path.name}")
        if path.dots:
            axes.plot(*zip(*path.dots, strict=True), "o", color=colour, markersize=4, gid=f"dots-{number}-{path.name}")
    axes.set_aspect("equal", adjustable="datalim")
    for axis, place, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), explained, strict=True):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axis.set_label_text(f"{place} component, {100 * share:.1f} %")
    axes.grid(visible=True, axis="both")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3).set_gid("legend")
