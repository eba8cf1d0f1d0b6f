"""The accuracies that papers print, to stand beside ours: published.yaml, read strictly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydantic
from pydantic import TypeAdapter

from dcpipe.params.params_files import InlineParams, InlineSections
from dcpipe.params.schema import STRICT
from dcpipe.params.strict_yaml import Value, read_yaml

FILE = Path(__file__).with_name("published.yaml")
WHOLE = "whole"  # trained on all real images: its number has no ipc
PARAMS = ("presets", "evaluations")  # params files that only rows of tables need


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class _PaperTable:
    """One table of a paper, on one network (empty: the dataset's own).

    `numbers` by method, dataset and size (`ipc1`, `all`) are a mean and a deviation, a mean alone, or nothing.
    """

    paper: str
    table: str
    note: str = ""
    network: str = ""
    protocols: dict[str, str] = pydantic.Field(default_factory=dict)
    numbers: dict[str, dict[str, dict[str, list[float]]]]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class PaperStatement:
    """What a paper prints and no row can be: `reason` says why."""

    paper: str
    table: str
    text: str
    reason: str


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=STRICT)
class _Published:
    """The file, without the params files that it holds."""

    networks: dict[str, str]
    variants: dict[str, str]
    protocols: dict[str, str]
    sets: dict[str, int]
    papers: dict[str, str]
    tables: list[_PaperTable]
    statements: list[PaperStatement]


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """One printed accuracy in percent, with every table that prints it; `std` in points, None where none is printed.

    `protocol` is the file of params/evaluations that tests as those tables do.
    """

    mean: float
    std: float | None
    source: str
    protocol: str

    @property
    def text(self) -> str:
        """The number as papers write it."""
        return _digits(self.mean) if self.std is None else f"{_digits(self.mean)} ± {_digits(self.std)}"


@dataclass(frozen=True, slots=True)
class PublishedNumbers:
    """The numbers printed for a cell, and their network: more than one number where tables disagree."""

    network: str
    numbers: tuple[PublishedNumber, ...]


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A cell that a table prints: `ipc` is None for all images; `table` is the table's name in commands, as `ftd-1`."""

    table: str
    source: str
    dataset: str
    method: str
    ipc: int | None
    network: str
    protocol: str
    values: tuple[float, ...]  # mean and deviation, mean, or nothing


def find_published_numbers(dataset: str, method: str, ipc: int, network: str | None = None) -> PublishedNumbers | None:
    """The numbers printed for a cell on a network (the dataset's own), or None.

    For `whole` the ipc does not matter, nor does whitening for any.
    """
    dataset = _read_published().variants.get(dataset, dataset)
    network = network or _read_published().networks.get(dataset, "")
    found = _by_cell().get((dataset, method, None if method == WHOLE else ipc, network), ())
    merged: dict[tuple[float, float | None, str], list[str]] = {}
    for cell in found:
        if cell.values:
            std = cell.values[1] if len(cell.values) > 1 else None
            merged.setdefault((cell.values[0], std, cell.protocol), []).append(cell.source)
    numbers = tuple(PublishedNumber(mean, std, ", ".join(of), protocol) for (mean, std, protocol), of in merged.items())
    return PublishedNumbers(network, numbers) if numbers else None


@cache
def published_cells() -> tuple[PublishedCell, ...]:
    """Every cell of every table, in the tables' order."""
    return tuple(
        PublishedCell(
            table=f"{table.paper} {table.table.removeprefix('Table ')}".lower().replace(" ", "-"),
            source=f"{table.paper} {table.table}" + (f" ({table.note})" if table.note else ""),
            dataset=dataset,
            method=method,
            ipc=None if size == "all" else int(size.removeprefix("ipc")),
            network=table.network or _read_published().networks[dataset],
            protocol=table.protocols.get(method) or _read_published().protocols[method],
            values=tuple(values),
        )
        for table in _read_published().tables
        for method, datasets in table.numbers.items()
        for dataset, cells in datasets.items()
        for size, values in cells.items()
    )


def usual_set_count(protocol: str) -> int:
    """How many synthetic sets the literature makes for a number under a protocol."""
    return _read_published().sets.get(protocol, 1)


def usual_protocol(method: str) -> str:
    """How the literature tests a preset, but for tables that say otherwise."""
    return _read_published().protocols[method]


def native_network(dataset: str) -> str:
    """The network that the literature trains on a dataset; empty for one that no table has."""
    return _read_published().networks.get(dataset, "")


def variants_of(dataset: str) -> tuple[str, ...]:
    """Our datasets that are one of the papers', prepared as some of their methods had it."""
    return tuple(name for name, of in _read_published().variants.items() if of == dataset)


def paper_datasets() -> frozenset[str]:
    """The datasets that a table prints numbers on, and their variants."""
    return frozenset({*_read_published().networks, *_read_published().variants})


@cache
def table_params() -> InlineSections:
    """The presets and protocols that only rows of tables need, as if they were files of params/."""
    tree, sections = read_yaml(FILE), {"presets": "methods", "evaluations": "evaluations"}
    return {section: _inline_params(key, tree[key]) for key, section in sections.items()}


def _inline_params(key: str, files: Value) -> Mapping[str, InlineParams]:
    named = files if isinstance(files, dict) else {}
    place = f"{FILE.name}: {key}"
    return {name: InlineParams(f"{place}.{name}", tree) for name, tree in named.items() if isinstance(tree, dict)}


def references() -> dict[str, str]:
    """The papers by the names that sources have."""
    return dict(_read_published().papers)


def statements() -> tuple[PaperStatement, ...]:
    """What the papers print that no row can be."""
    return tuple(_read_published().statements)


def _digits(number: float) -> str:
    """With one digit, or with two where it has two."""
    return f"{number:.1f}" if round(number, 1) == number else f"{number:.2f}"


@cache
def _read_published() -> _Published:
    tree = {key: value for key, value in read_yaml(FILE).items() if key not in PARAMS}
    return TypeAdapter(_Published).validate_json(json.dumps(tree))


@cache
def _by_cell() -> Mapping[tuple[str, str, int | None, str], list[PublishedCell]]:
    cells: dict[tuple[str, str, int | None, str], list[PublishedCell]] = {}
    for cell in published_cells():
        cells.setdefault((cell.dataset, cell.method, cell.ipc, cell.network), []).append(cell)
    return cells
