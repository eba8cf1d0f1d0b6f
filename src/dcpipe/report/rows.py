"""One row of one paper as an experiment: `dcpipe reproduce mtt-cifar10-ipc1`.

A row's name joins method, dataset and images a class; `whole-cifar10` has none. The preset says which variant of the
dataset it has values for (whitened or not), its matching under which protocol the literature scores it.
"""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dcpipe.data import location
from dcpipe.errors import UserError
from dcpipe.params import resolve
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.resolve import InlineParams, InlineSections
from dcpipe.params.strict_yaml import Tree, read_yaml
from dcpipe.provenance import artifact, staleness
from dcpipe.report.published import WHOLE, Published, printed_cells, published
from dcpipe.workflow.graph import Graph


@dataclass(frozen=True, slots=True)
class Row:
    """A number that a table prints: a method on a dataset, images a class (None: all of them)."""

    method: str
    dataset: str
    ipc: int | None

    @property
    def name(self) -> str:
        """Its name in `dcpipe reproduce`."""
        return f"{self.method}-{self.dataset}" + ("" if self.ipc is None else f"-ipc{self.ipc}")

    @property
    def printed(self) -> Published | None:
        """The printed numbers, and their network."""
        return published(self.dataset, self.method, self.ipc or 1)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A row's experiment: the dataset's variant, the protocol, and the experiment's definition, which params/ lacks."""

    row: Row
    dataset: str
    protocol: str
    extra: InlineSections

    @property
    def description(self) -> str:
        """The dataset and protocol that are run, and the numbers that papers print."""
        return f"dataset {self.dataset}, protocol {self.protocol}. {_description(self.row)}"


def rows() -> dict[str, Row]:
    """Every row that a table prints, by name."""
    printed = (Row(method, dataset, ipc) for dataset, method, ipc in printed_cells())
    return {row.name: row for row in sorted(printed, key=lambda row: (row.dataset, row.method, row.ipc or 0))}


def find_row(root: Path, name: str) -> Row:
    """The row of a name.

    Raises: UserError if no table prints it, or there is no preset of its method.
    """
    known = rows()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "choose a row of `dcpipe reproduce --list`"
        raise UserError(f"no paper's table has a row {name!r}", where="reproduce", remedy=hint)
    methods = resolve.available_names(root, "methods")
    if known[name].method not in methods:
        problem, remedy = f"method {known[name].method!r} has no preset", f"choose one of: {', '.join(methods)}"
        raise UserError(problem, where=f"reproduce {name}", remedy=remedy)
    return known[name]


def reproduction(root: Path, row: Row, *, sets: int, protocol: str | None = None) -> Reproduction:
    """The experiment of a row, `sets` synthetic sets of it."""
    library = ParamsLibrary(root)
    dataset = variant(root, row)
    data = library.dataset(dataset)[1]
    protocol = protocol or _protocol(library, row, dataset)
    network = row.printed.network if row.printed else data.network
    run: Tree = {
        "datasets": [dataset],
        "methods": [row.method],
        "ipc": [row.ipc or 1],
        "sets": 1 if row.method == WHOLE else sets,
        "evaluations": [protocol],
        "networks": ["native" if network == data.network else network],
    }
    tree: Tree = {"title": row.name, "description": _description(row), "runs": [run]}
    definition = InlineParams(f"dcpipe reproduce {row.name}", tree, f"dcpipe reproduce {row.name}")
    return Reproduction(row, dataset, protocol, {"experiments": {row.name: definition}})


def lines(root: Path) -> list[str]:
    """Every row, its printed numbers, and whether it can be run: a table for a terminal."""
    presets = set(resolve.available_names(root, "methods"))
    table = [f"{'row':<32}{'printed %':<26}in"]
    for name, row in rows().items():
        numbers = row.printed.numbers if row.printed else ()
        printed, sources = ", ".join(one.text for one in numbers), "; ".join(one.source for one in numbers)
        table.append(f"{name:<32}{printed:<26}{sources}{'' if row.method in presets else '; no preset'}")
    return table


def comparison(graph: Graph, reproduction: Reproduction) -> list[str]:
    """Our number, and how far it is from each number that papers print."""
    row = reproduction.row
    path = artifact.verified_entries(graph.root / graph.make_job("metrics", experiment=row.name).outputs["metrics"])
    (ours,) = json.loads(path.read_text()).values()
    head = (
        f"{row.name}: here {ours['mean']:.1f} ± {ours['std']:.1f} (n = {ours['n']} networks, {reproduction.protocol})"
    )
    numbers = row.printed.numbers if row.printed else ()
    return [head, *(f"  {one.source}: {one.text}, here {ours['mean'] - one.mean:+.1f} points" for one in numbers)]


def _description(row: Row) -> str:
    numbers = row.printed.numbers if row.printed else ()
    return "Papers print " + "; ".join(f"{one.text} ({one.source})" for one in numbers) + "."


def variant(root: Path, row: Row) -> str:
    """Which variant of the row's dataset its preset has values for: of this ipc, else any; else the dataset itself.

    The preset comes before those it is a variant of.
    """
    family = [name for name in resolve.available_names(root, "datasets") if _is_of(root, name, row.dataset)]
    for method in reversed(resolve.base_chain(root, "methods", row.method)):
        overrides = read_yaml(resolve.file_path(root, "methods", method)).get("overrides") or {}
        own = {name: overrides[name] for name in family if name in overrides} if isinstance(overrides, dict) else {}
        for chosen in (
            [name for name, values in own.items() if isinstance(values, dict) and f"ipc{row.ipc}" in values],
            list(own),
        ):
            if len(chosen) == 1:
                return chosen[0]
    return row.dataset


def _is_of(root: Path, name: str, dataset: str) -> bool:
    lineage = resolve.base_chain(root, "datasets", name)
    whole = read_yaml(resolve.file_path(root, "datasets", name)).get("split") is None  # a part of it is another dataset
    return name == dataset or (dataset in lineage and whole)


def _protocol(library: ParamsLibrary, row: Row, dataset: str) -> str:
    """The literature's protocol: the trajectory family has its own, augmented methods DSA's, all others DC's."""
    matching = library.method(row.method, dataset, row.ipc or 1)[1].matching
    kind: str = matching.kind
    if kind == "trajectory":
        return "mtt"
    augmented = kind == "distribution" or getattr(matching, "augmentation", "none") != "none"
    return "dsa" if augmented else "dc"


def refuse_absent_data(graph: Graph, dataset: str) -> None:
    """Raises: UserError if the dataset is neither prepared nor where this machine keeps its sources."""
    if staleness.staleness_problem(graph.make_job("data", dataset=dataset), graph.root) is None:
        return
    name = graph.library.dataset(dataset)[1].source.folder
    if name is None:
        return
    place = location.find(graph.root, name)
    if not place.exists() and not place.with_suffix(".npz").exists():
        remedy = f"put them there, or run `dcpipe data {dataset}`, which downloads public datasets"
        raise UserError(f"the images of {name} are missing", where=str(place), remedy=remedy)
