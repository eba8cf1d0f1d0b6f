"""From files to one resolved tree: base <- per dataset and ipc overrides <- variant, each value with its origin.

A params file holds every knob of its section. It may have some keys of its own beside them:

    base: mtt                 this file is a variant: it starts from that one and changes some values
    overrides:                values for some datasets, and inside those for some ipc
      cifar10:
        ipc1: {...}
    sources:                  where each value comes from, by the longest matching prefix of its key
      image: "MTT, table 6"
    covers:                   of a method: the cells that its sources state values for (`coverage`)
      cifar10: [1, 10, 50]
    format: 1                 of which format the file is; 1 where it does not say
    name: tiny                of an experiment: its name, by default the file's
    replaces: shipped         in a project: this file stands for the shipped one of its name, and says something else

An experiment's file may bring along definitions of other sections (`experiment_file`); they are no keys of its own.
`params_files` says which file a name means. A project's file with `base:` and its own name is a variant of the shipped
one.

A mapping that names a `kind` replaces the whole section; any other changes only the keys it names. Keys that the new
section shares with the one it replaces keep their values, for each dataset and ipc, where `inherits` lists them:

    segment: {kind: continuous, inherits: [max_start_epoch, span_epochs]}
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params import formats
from dcpipe.params.overlay import overlay_values
from dcpipe.params.params_files import (
    NO_INLINE_SECTIONS,
    SHIPPED_FOLDER,
    InlineSections,
    ParamsSource,
    load_params,
    section_file_path,
)
from dcpipe.params.strict_yaml import Tree, Value
from dcpipe.params.trees import nested
from dcpipe.params.value_origin import ResolvedValue, ValueOrigin, location_text

OWN_KEYS = ("base", "overrides", "sources", "covers", "format", "name", "replaces")
FORMAT = 1  # of params files
OVERRIDABLE = {
    "experts": False,
    "methods": True,
    "evaluations": True,
    "applications": False,
}  # and whether also for some ipc


@dataclass(frozen=True, slots=True)
class ResolvedSection:
    """A section's values: leaves by dotted key. `bases` are the links from a variant to what it varies.

    `file` is the place that a person opens; `neutral` are the keys whose value means "as before the knob existed".
    """

    leaves: Mapping[str, ResolvedValue]
    file: str
    bases: tuple[ResolvedValue, ...] = ()
    base_files: tuple[str, ...] = ()
    neutral: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that was read for it."""
        return (self.file, *self.base_files)

    def location_of(self, key: str) -> str:
        """Where a value stands: the file and its key there."""
        return str(self.leaves[key].origin)

    def owns(self, key: str) -> bool:
        """Whether a value stands in this file itself, and not in one that it is a variant of."""
        return str(self.leaves[key].origin).startswith(location_text(self.file, ""))

    def tree(self) -> Tree:
        """The nested mapping of plain values."""
        return nested({key: leaf.value for key, leaf in self.leaves.items()})


def resolve_section(
    root: Path,
    section: str,
    name: str,
    *,
    context: Sequence[str] = (),
    extra: InlineSections = NO_INLINE_SECTIONS,
    later: frozenset[str] = frozenset(),
) -> ResolvedSection:
    """All values of one params file for a context: override keys from general to special.

    Args: `context` is a chain such as ("digits", "digits.ipc1", "tiny", "tiny.ipc1"); names in `extra` are read
    from there; `later` are keys of knobs that a base may leave out, and a variant or an override state.
    Raises: UserError naming file and key: no such file, a circular base, a misplaced override.
    """
    return _resolve_source(ParamsSource(root, extra, later), section, name, context, seen=())


def base_chain(root: Path, section: str, name: str, extra: InlineSections = NO_INLINE_SECTIONS) -> tuple[str, ...]:
    """A file's name and those of the files it is a variant of, the most general first."""
    names: list[str] = [name]
    files = ParamsSource(root, extra)
    while isinstance(base := load_params(files, section, names[0]).tree.get("base"), str):
        files, same = files.base_source(names[0], base), base == names[0]
        if base in names and not (same and files.folder == SHIPPED_FOLDER):
            problem = f"base: {base} leads back to this file"
            raise UserError(problem, where=section_file_path(section, names[0]), remedy="change it")
        names = names if same else [base, *names]
    return tuple(names)


def _resolve_source(
    files: ParamsSource, section: str, name: str, context: Sequence[str], seen: tuple[str, ...]
) -> ResolvedSection:
    found = load_params(files, section, name)
    file, tree = found.place, found.tree
    formats.checked_format(tree.get("format", FORMAT), newest=FORMAT, where=file)
    if "name" in tree and section != "experiments":
        raise UserError("unknown key `name`", where=file, remedy="only experiments have one: remove it")
    if f"{files.folder}/{name}" in seen:
        raise UserError(f"base: {name} leads back to itself", where=file, remedy="name another base")
    leaves: dict[str, ResolvedValue] = {}
    bases: tuple[ResolvedValue, ...] = ()
    base_files: tuple[str, ...] = ()
    base = tree.get("base")
    if base is not None:
        if not isinstance(base, str):
            raise UserError("base must be the name of a file", where=file, remedy="write a name such as mtt")
        below = _resolve_source(
            files.base_source(name, base), section, base, context, (*seen, f"{files.folder}/{name}")
        )
        link = ResolvedValue(base, _origin(files, section, name, "base", file), None)
        leaves, bases = dict(below.leaves), (link, *below.bases)
        base_files = below.files
    sources = _sources(tree, file)
    _check_override_names(files, tree, file, section)
    own = {key: value for key, value in tree.items() if key not in OWN_KEYS}

    def resolved(key: str, value: Value) -> ResolvedValue:
        return ResolvedValue(value, _origin(files, section, name, key, file), _source_of(key, sources))

    put = partial(overlay_values, leaves, later=files.later, file=file, resolved=resolved)
    put(own, prefix="", only_known=base is not None)
    for part in context:
        node = _find_override(tree.get("overrides"), part, file)
        values = {key: value for key, value in node.items() if not key.startswith("ipc")} if node else {}
        put(values, prefix=f"overrides.{part}.", only_known=True)
    return ResolvedSection(leaves, file, bases, base_files)


def _check_override_names(files: ParamsSource, tree: Tree, file: str, section: str) -> None:
    overrides = tree.get("overrides") or {}
    if not isinstance(overrides, dict):
        raise UserError(
            "overrides must be a mapping of datasets", where=file, remedy="write DATASET: and its values below"
        )
    if "overrides" in tree and section not in OVERRIDABLE:
        raise UserError(
            f"overrides: {section} cannot have overrides", where=file, remedy="make a variant with base: instead"
        )
    datasets = files.names("datasets")
    for dataset, values in overrides.items():
        if dataset not in datasets:
            near = get_close_matches(dataset, datasets, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(datasets)}"
            raise UserError(f"overrides.{dataset}: there is no such dataset", where=file, remedy=hint)
        for key in values if isinstance(values, dict) else ():
            if key.startswith("ipc") and not re.fullmatch(r"ipc[1-9][0-9]*", key):
                raise UserError(f"overrides.{dataset}.{key}: not an ipc", where=file, remedy="write ipc1, ipc10, ...")
            if key.startswith("ipc") and not OVERRIDABLE[section]:
                raise UserError(
                    f"overrides.{dataset}.{key}: {section} do not depend on ipc", where=file, remedy="remove it"
                )


def _sources(tree: Tree, file: str) -> dict[str, str]:
    sources = tree.get("sources") or {}
    if not isinstance(sources, dict) or not all(isinstance(text, str) for text in sources.values()):
        raise UserError("sources must map keys to texts", where=file, remedy="write for example {matching: MTT}")
    return {key: str(text) for key, text in sources.items()}


def _source_of(key: str, sources: dict[str, str]) -> str | None:
    best = [prefix for prefix in sources if key == prefix or key.startswith(f"{prefix}.")]
    if best:
        return sources[max(best, key=len)]
    return sources.get("all")


def _find_override(overrides: Value, part: str, file: str) -> Tree | None:
    node: Value = overrides
    for name in part.split("."):
        if node is None:
            return None
        if not isinstance(node, dict):
            raise UserError(f"overrides.{part} must be a mapping", where=file, remedy="write KEY: VALUE lines below it")
        node = node.get(name)
    if node is not None and not isinstance(node, dict):
        raise UserError(f"overrides.{part} must be a mapping", where=file, remedy="write KEY: VALUE lines below it")
    return node


def _origin(files: ParamsSource, section: str, name: str, key: str, file: str) -> ValueOrigin:
    return ValueOrigin(
        section_file_path(section, name).replace("params", files.folder, 1), key, location_text(file, key)
    )
