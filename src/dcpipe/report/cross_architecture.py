"""Cross-architecture accuracy: the sets that one network made, by the networks that were trained on them.

Sources: GM's table on MNIST (six networks by six), FTD's table 3 and SATM's table of unseen architectures. A set's own
network stands in the matrix too: there it is the number of the ordinary table.
"""

from collections.abc import Sequence

from dcpipe.params.evaluation import Evaluation
from dcpipe.report.cells import Cell, images_phrase
from dcpipe.report.table import Column, Table, Value

OWN = " *"  # behind the accuracy of the network that the set was made with


def cross_architecture_tables(cells: Sequence[Cell]) -> list[Table]:
    """A matrix for each protocol, selection and number of images, where several networks were trained on the sets."""
    groups: dict[tuple[str, str, int | None], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.protocol, cell.selection, cell.images_per_class), []).append(cell)
    return [_table(group, members) for group, members in groups.items() if len(_networks(members)) > 1]


def source_network(cell: Cell) -> str | None:
    """The network that the cell's sets were made with; None for those that no network made."""
    name = cell.sets[0].distillation.sections.get("network")
    return str(name) if name else None


def _networks(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.network for cell in cells))


def _table(group: tuple[str, str, int | None], cells: Sequence[Cell]) -> Table:
    protocol, selection, size = group
    networks, found = _networks(cells), {(cell.dataset, cell.method, cell.network): cell for cell in cells}
    rows: list[tuple[Value, ...]] = []
    for cell in {(one.dataset, one.method): one for one in reversed(cells)}.values():
        accuracies = [_text(found.get((cell.dataset, cell.method, network))) for network in networks]
        rows.append((cell.dataset, cell.label, source_network(cell) or "none", *accuracies))
    columns = (Column("dataset"), Column("method"), Column("made with"), *(Column(network) for network in networks))
    caption = (
        f"Cross-architecture: test accuracy in percent, mean ± standard deviation (networks), of each network trained "
        f"on sets of {images_phrase(size)}; protocol {protocol}, selection {selection}. *: the network that made the "
        f"set. {_rates(cells)}"
    )
    images = "all" if size is None else f"ipc{size}"
    return Table(f"cross-architecture-{protocol}-{selection}-{images}", caption, columns, tuple(rows[::-1]))


def _text(cell: Cell | None) -> str | None:
    if cell is None:
        return None
    return f"{cell.mean:.1f} ± {cell.std:.1f} ({cell.n}){OWN if cell.network == source_network(cell) else ''}"


def _rates(cells: Sequence[Cell]) -> str:
    """How each network's learning rate was set, once where all have the same."""
    rates: dict[str, list[str]] = {}
    for cell in cells:
        phrase = cell.sets[0].evaluation.section("evaluation", Evaluation).learning_rate.report_text
        names = rates.setdefault(phrase, [])
        if cell.network not in names:
            names.append(cell.network)
    if len(rates) == 1:
        return f"Every network: {next(iter(rates))}."
    return " ".join(f"{', '.join(names)}: {phrase}." for phrase, names in rates.items())
