"""A chart in its three forms: SVG and PDF as files, and SVG inside the page, in the page's colours and with its text.

The same data and the same matplotlib give the same bytes: no date is written, ids are derived from the chart's name,
and no matplotlibrc of the user is read.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dcpipe.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = Path(__file__).with_name("figures.mplstyle")
FOLDER = "figures"  # beside the page
EXTRA = ("jinja2", "matplotlib")  # the packages of `pip install dcpipe[report]`
POINTS_PER_INCH = 72
INK, QUIET, RULE = "#1d1e1b", "#65645c", "#dcd9cf"
COLOURS = {
    **{INK: "--ink", QUIET: "--quiet", RULE: "--rule", "#ffffff": "--paper"},
    **{
        "#0b7a74": "--s0",
        "#c05a00": "--s1",
        "#5a54b8": "--s2",
        "#b3305f": "--s3",
        "#557d12": "--s4",
        "#8a7200": "--s5",
    },
}  # of the style file, and the variables of style.css that the page puts in their place


@dataclass(frozen=True, slots=True)
class Margins:
    """Space around the axes, in points."""

    left: float
    bottom: float
    top: float
    right: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished chart. `title` and `description` are its alternative text."""

    name: str  # of its files, without a suffix
    title: str
    description: str
    svg: bytes
    pdf: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """The files by name."""
        return {f"{self.name}.svg": self.svg, f"{self.name}.pdf": self.pdf}

    @property
    def inline(self) -> str:
        """The SVG as an element of the page: no namespaces, ids of its own, colours by the page's variables."""
        text = self.svg.decode()
        head, _, body = text[text.index("<svg") :].partition(">")
        view_box = head.partition('viewBox="')[2].partition('"')[0]
        body = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</defs>\s*", "", body, flags=re.DOTALL)
        body = body.replace("xlink:href", "href").replace(" \n", " ")
        body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}.", body)
        for colour, variable in COLOURS.items():
            body = body.replace(colour, f"var({variable})")
        return f'<svg viewBox="{view_box}" role="img">{body.strip()}'


def missing_packages() -> list[str]:
    """The packages of the extra `report` that are not installed."""
    return [name for name in EXTRA if find_spec(name) is None]


def refuse_missing_packages() -> None:
    """Raises: UserError naming the first package of the extra `report` that is not installed."""
    for name in missing_packages():
        remedy = "install it with `pip install 'dcpipe[report]'`"
        raise UserError(f"the report needs {name}", where="report", remedy=remedy)


def chart(
    name: str,
    title: str,
    description: str,
    draw: "Callable[[Axes], None]",
    *,
    size: tuple[float, float],
    margins: Margins,
) -> Chart:
    """Draw on axes of the house style; `size` is width and height in points.

    Raises: UserError if matplotlib is not installed.
    """
    refuse_missing_packages()
    from matplotlib import style
    from matplotlib.figure import Figure

    wide, high = size
    with warnings.catch_warnings(), style.context(["default", str(STYLE), {"svg.hashsalt": name}]):
        # the browser has letters that matplotlib's typeface lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(wide / POINTS_PER_INCH, high / POINTS_PER_INCH))
        figure.subplots_adjust(
            left=margins.left / wide,
            bottom=margins.bottom / high,
            right=1 - margins.right / wide,
            top=1 - margins.top / high,
        )
        draw(figure.add_subplot())
        svg, pdf = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title, "Description": description})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Title": title, "Subject": description})
    described = svg.getvalue().replace(b"</title>", f"</title>\n <desc>{_escape(description)}</desc>".encode(), 1)
    return Chart(name, title, description, described, pdf.getvalue())


def file_name(*parts: object) -> str:
    """A file name of several parts."""
    return re.sub(r"[^\w.-]+", "-", "-".join(map(str, parts)))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
