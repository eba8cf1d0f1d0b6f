"""Pictures of a report: synthetic images as PNG, curves and single runs as SVG that takes the page's colours.

Legend: N images, C channels, H W pixels, K classes.
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from dcpipe.report import stability
from dcpipe.report.cells import Cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from dcpipe.data.store import Transform

CLASSES, COLUMNS = 20, 10  # shown of a set, at most
BINS, RAW = 60, 120  # a curve of more points than RAW is drawn in BINS bins
QUANTITIES = {
    "loss": "matching loss",
    "step_size": "step size",
    "image_gradient_norm": "image gradient norm",
    "cosine": "cosine of the two passes",
    "rise": "rise of the loss to the second pass",
}
WIDE, HIGH, LEFT, BOTTOM, TOP, RIGHT = 360, 190, 46, 26, 8, 10
FAR, SQUEEZE_FROM = 0.5, 0.25  # images are squeezed if this share of their values is so far below black or above white
DEVIATIONS = 2.5  # from the middle of what is shown of a squeezed image to either end
LONGEST = 30  # letters that are shown of a row's name
LOG_FROM = 50.0  # ratio of largest to smallest from which an axis is logarithmic

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Strip:
    """The shown images of one class, side by side, as a data: PNG."""

    label: int
    columns: int
    uri: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A synthetic set for the eye. `outside` is the share of pixel values that no screen can show.

    They are clipped; if many are far out, little would be left to see, and each image is `squeezed` first: 2.5
    deviations below its mean become black and 2.5 above it white.
    """

    strips: tuple[Strip, ...]
    size: int
    classes: int
    images: int
    low: float
    high: float
    outside: float
    squeezed: bool

    @property
    def columns(self) -> int:
        """The longest strip."""
        return max(strip.columns for strip in self.strips)

    @property
    def shown(self) -> int:
        """How many of the images are shown."""
        return sum(strip.columns for strip in self.strips)


def picture(path: Path, transform: "Transform", budget: int) -> Picture:
    """The pixels of a stored set, un-standardised, in at most `budget` pixels (one image at least)."""
    from dcpipe.distillation import synthetic_set

    stored = synthetic_set.load(path)
    pixels_NCHW = transform.invert(stored.images_NCHW.float())
    labels_N = stored.classes
    classes, room = sorted(set(labels_N.tolist())), max(1, budget // pixels_NCHW[0, 0].numel())
    rows = min(len(classes), CLASSES, room)
    columns = max(1, min(COLUMNS, room // rows))
    squeezed = _share_beyond(pixels_NCHW, FAR) > SQUEEZE_FROM
    shown_NCHW = _squeezed(pixels_NCHW) if squeezed else pixels_NCHW
    return Picture(
        strips=tuple(_strip(label, shown_NCHW[labels_N == label][:columns]) for label in classes[:rows]),
        size=pixels_NCHW.shape[3],
        classes=len(classes),
        images=len(pixels_NCHW),
        low=float(pixels_NCHW.min()),
        high=float(pixels_NCHW.max()),
        outside=_share_beyond(pixels_NCHW, 0.0),
        squeezed=squeezed,
    )


def _share_beyond(pixels_NCHW: "Tensor", margin: float) -> float:
    return float(((pixels_NCHW < -margin) | (pixels_NCHW > 1 + margin)).float().mean())


def _squeezed(pixels_NCHW: "Tensor") -> "Tensor":
    mean_N111 = pixels_NCHW.mean((1, 2, 3), keepdim=True)
    deviation_N111 = pixels_NCHW.std((1, 2, 3), correction=0, keepdim=True)
    return (pixels_NCHW - mean_N111) / (2 * DEVIATIONS * deviation_N111.clamp(min=1e-12)) + 0.5


def _strip(label: int, pixels_NCHW: "Tensor") -> Strip:
    shown_NCHW = (pixels_NCHW.clamp(0, 1) * 255).round().byte()
    strip_HWC = shown_NCHW.permute(2, 0, 3, 1).flatten(1, 2)
    return Strip(label, len(shown_NCHW), _png(strip_HWC.numpy()))


def _png(strip_HWC: "NDArray[np.uint8]") -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(strip_HWC[:, :, 0] if strip_HWC.shape[2] == 1 else strip_HWC).save(
        file, format="PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def history(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Points (iteration, value) of each drawn quantity that a history.csv has; finite ones only."""
    columns = stability.read(path)
    found = {
        name: [pair for pair in zip(columns["iteration"], columns[name], strict=True) if math.isfinite(pair[1])]
        for name in QUANTITIES
        if name in columns
    }
    return {name: points for name, points in found.items() if points}


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to places on the drawing."""

    low: float
    high: float
    start: float
    stop: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.is_log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """Three to six round values."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = (1, 2, 5) if self.high / self.low < 1000 else (1,)
            inside = [d * 10.0**p for p in powers for d in digits if self.low <= d * 10.0**p <= self.high]
            return inside[:: max(1, math.ceil(len(inside) / 6))]
        span = (self.high - self.low) or 1.0
        step = min(
            (m * 10.0 ** math.floor(math.log10(span / 4)) for m in (1, 2, 5, 10)), key=lambda s: abs(span / s - 4)
        )
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _axis(values: Iterable[float], start: float, stop: float, *, may_log: bool = True) -> Axis:
    found = list(values)
    low, high = min(found), max(found)
    if may_log and low > 0 and high / low > LOG_FROM:
        return Axis(low, high, start, stop, is_log=True)
    room = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    return Axis(low - room, high + room, start, stop)


def curve(name: str, series: Sequence[tuple[int, Points]]) -> str:
    """A quantity against the iteration, one line a set (its number names the colour)."""
    ends = [
        f"set {number}: from {_number(points[0][1])} to {_number(points[-1][1])} in {len(points)} iterations"
        for number, points in series
    ]
    return _drawn(f"{QUANTITIES[name]}, {'; '.join(ends)}", [(number % 6, points) for number, points in series])


def lines(title: str, series: Sequence[tuple[str, Points]]) -> str:
    """A quantity against what the title says, one named line each, coloured in their order."""
    ends = [f"{name}: from {_number(points[0][1])} to {_number(points[-1][1])}" for name, points in series]
    return _drawn(f"{title}, {'; '.join(ends)}", [(index % 6, points) for index, (_, points) in enumerate(series)])


def _drawn(title: str, series: Sequence[tuple[int, Points]]) -> str:
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    across = Axis(min(xs), max(xs), LEFT, WIDE - RIGHT)
    up = _axis(ys, HIGH - BOTTOM, TOP)
    drawn = [_line(points, across, up, f"s{colour}") for colour, points in series]
    return _svg(title, HIGH, [*_frame(across, up), *drawn])


def _line(points: Points, across: Axis, up: Axis, colour: str) -> str:
    if len(points) <= RAW:
        return f'<polyline class="line {colour}" points="{_path((across(x), up(y)) for x, y in points)}"/>'
    size = math.ceil(len(points) / BINS)
    bins = [points[i : i + size] for i in range(0, len(points), size)]
    middle = [(across(sum(x for x, _ in b) / len(b)), up(_mean([y for _, y in b], up))) for b in bins]
    tops = [(x, up(max(y for _, y in b))) for (x, _), b in zip(middle, bins, strict=True)]
    feet = [(x, up(min(y for _, y in b))) for (x, _), b in zip(middle, bins, strict=True)]
    band = f'<polygon class="band {colour}" points="{_path([*tops, *feet[::-1]])}"/>'
    return f'{band}<polyline class="line {colour}" points="{_path(middle)}"/>'


def _mean(values: Sequence[float], up: Axis) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if up.is_log else sum(values) / len(values)


def runs(cells: Sequence[Cell], baseline: float | None) -> str:
    """Every network of some cells as a dot, a row a cell; a bar at the mean; a dashed line at the random mean."""
    high, left = TOP + 26 * len(cells) + BOTTOM, 24 + max([78.0, *(_width(_cut(cell.label)) for cell in cells)])
    wide = left + WIDE - 104
    across = _axis([v for cell in cells for v in cell.accuracies], left, wide - RIGHT, may_log=False)
    parts = [_tick_x(tick, across, high) for tick in across.ticks]
    if baseline is not None:
        parts.append(f'<path class="base" d="M{across(baseline):.1f} {TOP}V{high - BOTTOM}"/>')
    for row, cell in enumerate(cells):
        middle = TOP + 26 * row + 13
        parts.append(f'<text class="name" x="{left - 10}" y="{middle + 4}">{_escape(_cut(cell.label))}</text>')
        for one in cell.sets:
            at = middle + (4 * (one.index - (len(cell.sets) - 1) / 2) if len(cell.sets) < 5 else 0)
            parts += [
                f'<circle class="dot s{one.index % 6}" cx="{across(v):.1f}" cy="{at:.1f}" r="3"/>'
                for v in one.accuracies
            ]
        parts.append(f'<path class="mean" d="M{across(cell.mean):.1f} {middle - 10}v20"/>')
    title = "; ".join(f"{cell.label}: mean {cell.mean:.1f}, {cell.n} networks" for cell in cells)
    return _svg(title, high, parts, wide=wide)


def _frame(across: Axis, up: Axis) -> list[str]:
    rows = [
        f'<path class="grid" d="M{LEFT} {up(tick):.1f}H{WIDE - RIGHT}"/>'
        f'<text class="y" x="{LEFT - 6}" y="{up(tick) + 4:.1f}">{_number(tick)}</text>'
        for tick in up.ticks
    ]
    return [*rows, *(_tick_x(tick, across, HIGH, grid=False) for tick in across.ticks)]


def _tick_x(tick: float, across: Axis, high: float, *, grid: bool = True) -> str:
    x, foot = across(tick), high - BOTTOM
    line = f'<path class="grid" d="M{x:.1f} {TOP if grid else foot}V{foot + 4}"/>'
    return f'{line}<text class="x" x="{x:.1f}" y="{foot + 18}">{_number(tick)}</text>'


def _svg(title: str, high: float, parts: Iterable[str], *, wide: float = WIDE) -> str:
    return f'<svg viewBox="0 0 {wide} {high}" role="img"><title>{_escape(title)}</title>{"".join(parts)}</svg>'


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _number(value: float) -> str:
    text = f"{value:.4g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"


def _width(name: str) -> float:
    """How wide a row's name is in the drawing, rather too wide than too narrow."""
    return sum(12.5 if east_asian_width(c) in "WF" else 11 if c in "MW@%" else 9 if c.isupper() else 6.4 for c in name)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
