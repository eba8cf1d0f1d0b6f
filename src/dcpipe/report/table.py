"""A table, and its forms: raw values as CSV, LaTeX for papers, and values for display."""

import csv
import io
import re
import textwrap
from dataclasses import dataclass
from typing import Literal

CAPTION_WIDTH = 100  # of a terminal

Value = str | int | float | None
Kind = Literal["text", "count", "points", "number", "seconds", "bytes"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title and how its values are shown."""

    title: str
    kind: Kind = "text"

    @property
    def title_with_unit(self) -> str:
        """The title over raw values: it names their unit."""
        return f"{self.title} ({self.kind})" if self.kind in {"seconds", "bytes"} else self.title

    def show(self, value: Value) -> str:
        """A value for display; a missing one is shown as such."""
        if value is None:
            return "not measured" if self.kind in {"seconds", "bytes"} else "-"
        if isinstance(value, str) or self.kind in {"text", "count"}:
            return str(value)
        shown = {
            "points": f"{value:.1f}",
            "number": f"{value:.3g}",
            "seconds": duration(value),
            "bytes": format_bytes(value),
        }
        return shown[self.kind]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the name of its file, its caption, and raw values."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def csv(self) -> str:
        """Raw values; a missing one is empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.title_with_unit for column in self.columns])
        writer.writerows([[_escape_formula(value) for value in row] for row in self.rows])
        return text.getvalue()

    def text(self) -> str:
        """Values for display in columns, with the caption below, for a terminal."""
        rows = [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]
        lines = [[column.title for column in self.columns], *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = [column.kind == "text" for column in self.columns]
        shown = [
            "  ".join(
                part.ljust(w) if is_text else part.rjust(w) for part, w, is_text in zip(line, widths, left, strict=True)
            )
            for line in lines
        ]
        return "\n".join([*(line.rstrip() for line in shown), "", *textwrap.wrap(self.caption, CAPTION_WIDTH), ""])

    def latex(self) -> str:
        """A table for LaTeX's booktabs."""
        shown = [[column.show(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]
        lines = [[column.title for column in self.columns], *shown]
        head, *body = [" & ".join(map(escape_latex, line)) + r" \\" for line in lines]
        shape = "".join("l" if column.kind == "text" else "r" for column in self.columns)
        return "\n".join(
            [
                r"% needs \usepackage{booktabs}",
                r"\begin{table}",
                rf"  \caption{{{escape_latex(self.caption)}}}",
                rf"  \begin{{tabular}}{{{shape}}}",
                r"    \toprule",
                f"    {head}",
                r"    \midrule",
                *[f"    {line}" for line in body],
                r"    \bottomrule",
                r"  \end{tabular}",
                r"\end{table}",
                "",
            ]
        )


def _escape_formula(value: Value) -> Value:
    """A value that no spreadsheet takes for a formula: an apostrophe goes before such a text, as OWASP advises."""
    if value is None:
        return ""
    if isinstance(value, str) and (value.startswith(("=", "@", "\t")) or _SIGNED.match(value)):
        return f"'{value}"
    return value


_SIGNED = re.compile(r"[+-](?!\d)(?=.)")


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "<": "$<$", ">": "$>$"},
}


def duration(seconds: float) -> str:
    """Seconds for display."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60)):
        if seconds < limit:
            return f"{seconds / divisor:.1f} {unit}"
    return f"{seconds / 3600:.1f} h"


def format_bytes(count: float) -> str:
    """Bytes for display, in powers of ten."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= divisor:
            return f"{count / divisor:.1f} {unit}"
    return f"{count:.0f} B"
