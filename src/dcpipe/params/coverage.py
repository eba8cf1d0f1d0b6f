"""Which cells the sources of a preset state values for.

A method's file lists them: a cell is a dataset, as that source prepares it, and the images per class. A variant of the
preset covers the same cells unless it lists its own. `all` stands for every ipc of a dataset, or for every cell.

    covers:
      cifar10-zca: [1, 10]
      tiny-imagenet: all
"""

from dataclasses import dataclass
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params import params_files, resolve, value_origin
from dcpipe.params.params_files import NO_INLINE_SECTIONS, InlineSections
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.strict_yaml import Tree, Value, read_yaml

ALL = "all"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Datasets and their ipc; None stands for every one."""

    cells: dict[str, tuple[int, ...] | None] | None

    def covers(self, dataset: str, ipc: int) -> bool:
        """Whether a source states the values of a cell."""
        if self.cells is None:
            return True
        sizes = self.cells.get(dataset, ())
        return sizes is None or ipc in sizes

    def knows(self, dataset: str) -> bool:
        """Whether a source states any values for a dataset."""
        return self.cells is None or dataset in self.cells


def coverage(root: Path, method: str, extra: InlineSections = NO_INLINE_SECTIONS) -> Coverage:
    """The cells of a preset: its own list, else the one of the nearest preset that it is a variant of; else none.

    Raises: UserError for a list that is not readable, or names a dataset that is not there.
    """
    for name in reversed(resolve.base_chain(root, "methods", method, extra)):
        for tree in _trees(root, name, extra):
            if "covers" in tree:
                where = value_origin.location_text(params_files.section_file_path("methods", name), "covers")
                return Coverage(_cells(tree["covers"], where, params_files.available_names(root, "datasets")))
    return Coverage({})


def applied_override(resolved: ResolvedSection) -> str | None:
    """Whose values a method has in a cell: the most special override's that gave any; None: the preset's own."""
    parts = [leaf.origin.key.split(".") for leaf in resolved.leaves.values()]
    named = [part[1:3] for part in parts if part[0] == "overrides"]
    for of_ipc in (True, False):
        for dataset, second in named:
            if second.startswith("ipc") == of_ipc:
                return f"{dataset}, ipc {second[3:]}" if of_ipc else dataset
    return None


def _trees(root: Path, name: str, extra: InlineSections) -> list[Tree]:
    """A preset's file; below it the shipped one of its name, which a project's file may vary."""
    if name in extra.get("methods", ()):
        return [extra["methods"][name].tree]
    shipped = params_files.shipped_tree(root, "methods", name)
    return [read_yaml(params_files.file_path(root, "methods", name)), *([shipped] if shipped else [])]


def _cells(value: Value, where: str, datasets: list[str]) -> dict[str, tuple[int, ...] | None] | None:
    if value == ALL:
        return None
    if not isinstance(value, dict):
        raise UserError(
            "covers must map datasets to lists of ipc",
            where=where,
            remedy="write for example {cifar10: [1, 10]}, or all",
        )
    unknown = sorted(value.keys() - set(datasets))
    if unknown:
        raise UserError(f"there is no dataset {unknown[0]!r}", where=where, remedy="name a file of params/datasets")
    return {dataset: _sizes(sizes, f"{where}.{dataset}") for dataset, sizes in value.items()}


def _sizes(value: Value, where: str) -> tuple[int, ...] | None:
    if value == ALL:
        return None
    sizes = value if isinstance(value, list) else []
    numbers = tuple(size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0)
    if not numbers or len(numbers) != len(sizes):
        raise UserError("not a list of images per class", where=where, remedy="write for example [1, 10], or all")
    return numbers
