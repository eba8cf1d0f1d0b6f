"""The accuracies that papers print, to stand beside ours: published.yaml, read strictly."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydantic
from pydantic import TypeAdapter

from dcpipe.params.schema import STRICT
from dcpipe.params.strict_yaml import read_yaml

FILE = Path(__file__).with_name("published.yaml")
WHOLE = "whole"  # trained on all real images: its number has no ipc

_Row = tuple[str, float, float]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class _PaperTable:
    """One table of a paper; `numbers` by method, dataset and size (`ipc1`, `all`) are a mean and a deviation."""

    paper: str
    table: str
    note: str = ""
    numbers: dict[str, dict[str, dict[str, tuple[float, float]]]]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class _Published:
    """The file."""

    networks: dict[str, str]
    variants: dict[str, str]
    papers: dict[str, str]
    tables: list[_PaperTable]


@dataclass(frozen=True, slots=True)
class Number:
    """One printed accuracy in percent, with its standard deviation in points and every table that prints it."""

    mean: float
    std: float
    source: str

    @property
    def text(self) -> str:
        """The number as papers write it."""
        return f"{self.mean:.1f} ± {self.std:.1f}"


@dataclass(frozen=True, slots=True)
class Published:
    """The numbers printed for a cell, and their network: more than one number where tables disagree."""

    network: str
    numbers: tuple[Number, ...]


def published(dataset: str, method: str, ipc: int) -> Published | None:
    """The numbers printed for a cell, or None. For `whole` the ipc does not matter, nor does whitening for any."""
    dataset = _file().variants.get(dataset, dataset)
    merged: dict[tuple[float, float], list[str]] = {}
    for source, mean, std in _rows().get((dataset, method, "all" if method == WHOLE else f"ipc{ipc}"), ()):
        merged.setdefault((mean, std), []).append(source)
    numbers = tuple(Number(mean, std, ", ".join(sources)) for (mean, std), sources in merged.items())
    return Published(_file().networks[dataset], numbers) if numbers else None


def printed_cells() -> tuple[tuple[str, str, int | None], ...]:
    """Dataset, method and ipc of every cell that a table prints, in the tables' order; no ipc for `whole`."""
    return tuple((data, method, None if size == "all" else int(size[3:])) for data, method, size in _rows())


def references() -> dict[str, str]:
    """The papers by the names that sources have."""
    return dict(_file().papers)


@cache
def _file() -> _Published:
    return TypeAdapter(_Published).validate_json(json.dumps(read_yaml(FILE)))


@cache
def _rows() -> dict[tuple[str, str, str], list[_Row]]:
    rows: dict[tuple[str, str, str], list[_Row]] = {}
    for table in _file().tables:
        source = f"{table.paper} {table.table}" + (f" ({table.note})" if table.note else "")
        for method, datasets in table.numbers.items():
            for dataset, cells in datasets.items():
                for size, (mean, std) in cells.items():
                    rows.setdefault((dataset, method, size), []).append((source, mean, std))
    return rows
