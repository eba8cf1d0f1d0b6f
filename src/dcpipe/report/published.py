"""What the papers print, to stand beside our numbers: published.yaml, read strictly."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from dcpipe.params.strict_yaml import Tree, read

FILE = Path(__file__).with_name("published.yaml")
WHOLE = "whole"  # trained on all real images: its number has no ipc

_Row = tuple[str, float, float]


@dataclass(frozen=True, slots=True)
class Number:
    """One printed accuracy in percent, with its standard deviation in points and every table that prints it."""

    mean: float
    std: float
    source: str

    @property
    def words(self) -> str:
        """The number as papers write it."""
        return f"{self.mean:.1f} ± {self.std:.1f}"


@dataclass(frozen=True, slots=True)
class Published:
    """What is printed for a cell, on which network: more than one number where tables disagree."""

    network: str
    numbers: tuple[Number, ...]


def published(dataset: str, method: str, ipc: int) -> Published | None:
    """The numbers printed for a cell, or None. For `whole` the ipc does not matter, nor does whitening for any."""
    dataset = cast(dict[str, str], _file()["variants"]).get(dataset, dataset)
    merged: dict[tuple[float, float], list[str]] = {}
    for source, mean, std in _rows().get((dataset, method, "all" if method == WHOLE else f"ipc{ipc}"), ()):
        merged.setdefault((mean, std), []).append(source)
    numbers = tuple(Number(mean, std, ", ".join(sources)) for (mean, std), sources in merged.items())
    return Published(_networks()[dataset], numbers) if numbers else None


def printed_cells() -> tuple[tuple[str, str, int | None], ...]:
    """Dataset, method and ipc of every cell that a table prints, in the tables' order; no ipc for `whole`."""
    return tuple((data, method, None if size == "all" else int(size[3:])) for data, method, size in _rows())


def references() -> dict[str, str]:
    """The papers by the names that sources have."""
    return cast(dict[str, str], _file()["papers"])


@cache
def _file() -> Tree:
    return read(FILE)


def _networks() -> dict[str, str]:
    return cast(dict[str, str], _file()["networks"])


@cache
def _rows() -> dict[tuple[str, str, str], list[_Row]]:
    found: dict[tuple[str, str, str], list[_Row]] = {}
    for table in cast(list[Tree], _file()["tables"]):
        note = f" ({table['note']})" if "note" in table else ""
        numbers = cast(dict[str, dict[str, dict[str, list[float]]]], table["numbers"])
        for method, datasets in numbers.items():
            for dataset, cells in datasets.items():
                for size, (mean, std) in cells.items():
                    row = (f"{table['paper']} {table['table']}{note}", float(mean), float(std))
                    found.setdefault((dataset, method, size), []).append(row)
    return found
