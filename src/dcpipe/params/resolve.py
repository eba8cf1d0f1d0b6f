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
In a project names are looked up in its params/, then in those that came with the package. A project's file with
`base:` and its own name is a variant of the shipped one.

A mapping that names a `kind` replaces the whole section; any other changes only the keys it names. Keys that the new
section shares with the one it replaces keep their values, for each dataset and ipc, where `inherits` lists them:

    segment: {kind: continuous, inherits: [max_start_epoch, span_epochs]}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType

from dcpipe.errors import UserError
from dcpipe.params import formats, shipped
from dcpipe.params.strict_yaml import Tree, Value, read_yaml
from dcpipe.params.trees import flatten, nested, replaced_sections, take_inherited

OWN_KEYS = ("base", "overrides", "sources", "covers", "format", "name", "replaces")
FORMAT = 1  # of params files
SHIPPED_FOLDER = "params/shipped"  # of the shipped files that a project varies under their own name
DEFAULT = "default"  # the origin of what no file states
SECTIONS = ("datasets", "experts", "methods", "evaluations", "experiments")
INLINE_SECTIONS = {
    "presets": "methods",
    "datasets": "datasets",
    "experts": "experts",
    "evaluations": "evaluations",
}  # sections
OVERRIDABLE = {"experts": False, "methods": True, "evaluations": True}  # and whether also for some ipc


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """Where a value stands.

    `file` (params/<section>/<name>.yaml) and `key` are its identity: section, name and dotted key. `place` is what a
    person opens, if the file of that name is another: an experiment may bring along what would be several files.
    """

    file: str
    key: str
    place: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.place or f"{self.file}: {self.key}"


@dataclass(frozen=True, slots=True)
class ResolvedValue:
    """One resolved value, where it stands and what it is taken from."""

    value: Value
    origin: ValueOrigin
    source: str | None


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

    def place(self, key: str) -> str:
        """Where a value stands: the file and its key there."""
        return str(self.leaves[key].origin)

    def owns(self, key: str) -> bool:
        """Whether a value stands in this file itself, and not in one that it is a variant of."""
        return str(self.leaves[key].origin).startswith(location_text(self.file, ""))

    def tree(self) -> Tree:
        """The nested mapping of plain values."""
        return nested({key: leaf.value for key, leaf in self.leaves.items()})


@dataclass(frozen=True, slots=True)
class InlineParams:
    """What stands for a params file without being one: the place that errors name, its values, and the command that
    brings it along, if it is never written into params/."""

    place: str
    tree: Tree
    command: str = ""


InlineSections = Mapping[str, Mapping[str, InlineParams]]
"""Section -> name -> what is read in the place of params/<section>/<name>.yaml."""
NO_INLINE_SECTIONS: InlineSections = MappingProxyType({})


def section_file_path(section: str, name: str) -> str:
    """The path, relative to the root, of a named params file."""
    return f"params/{section}/{name}.yaml"


def available_names(root: Path, section: str) -> list[str]:
    """The names that a section has files for, in a project also the shipped ones."""
    folders = (root, shipped.shipped_params(root))
    return sorted(
        {
            path.stem
            for location_text in folders
            if location_text
            for path in (location_text / "params" / section).glob("*.yaml")
        }
    )


def file_path(root: Path, section: str, name: str) -> Path:
    """The file that a name is read from: the project's, or else the shipped one; it need not exist."""
    file = section_file_path(section, name)
    place = shipped.shipped_params(root)
    if place and (place / file).is_file() and (not (root / file).is_file() or shipped.is_copy(root, file)):
        return place / file
    return root / file


def shipped_tree(root: Path, section: str, name: str) -> Tree | None:
    """What the package says of a name, where `root` is a project and the name is shipped."""
    place = shipped.shipped_params(root)
    path = place / section_file_path(section, name) if place else None
    return read_yaml(path) if path and path.is_file() else None


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
    return _resolve_source(_ParamsSource(root, extra, later), section, name, context, seen=())


def base_chain(root: Path, section: str, name: str, extra: InlineSections = NO_INLINE_SECTIONS) -> tuple[str, ...]:
    """A file's name and those of the files it is a variant of, the most general first."""
    names: list[str] = [name]
    files = _ParamsSource(root, extra)
    while isinstance(base := _load_params(files, section, names[0]).tree.get("base"), str):
        files, same = files.of_base(names[0], base), base == names[0]
        if base in names and not (same and files.folder == SHIPPED_FOLDER):
            raise UserError(f"base: {base} leads back to this file", where=section_file_path(section, name))
        names = names if same else [base, *names]
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _ParamsSource:
    """Where params are looked up: files below a root, what is given beside them, and which keys they may leave out.

    `folder` begins the identity of their values.
    """

    root: Path
    extra: InlineSections
    later: frozenset[str] = frozenset()
    folder: str = "params"

    def of_base(self, name: str, base: str) -> "_ParamsSource":
        """Where the base of a file is looked up: a project's file that varies its own name has the shipped one."""
        place = shipped.shipped_params(self.root)
        if base != name or place is None or self.folder == SHIPPED_FOLDER:
            return self
        return replace(self, root=place, extra=NO_INLINE_SECTIONS, folder=SHIPPED_FOLDER)

    def names(self, section: str) -> list[str]:
        return sorted({*available_names(self.root, section), *self.extra.get(section, ())})


def _load_params(files: _ParamsSource, section: str, name: str) -> InlineParams:
    if name in files.extra.get(section, ()):
        return files.extra[section][name]
    file, path = section_file_path(section, name), file_path(files.root, section, name)
    if not path.is_file():
        names = files.names(section)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        if not names:
            hint = "there are none: call dcpipe from a project; `dcpipe init FOLDER` makes one"
        raise UserError(f"there is no {section} file named {name!r}", where=file, remedy=hint)
    tree = read_yaml(path)
    _refuse_silent_replacement(files.root, section, name, tree)
    if section == "experiments":
        tree = {key: value for key, value in tree.items() if key not in INLINE_SECTIONS}
    if section == "experiments" and tree.get("name", name) != name:
        remedy = f"write name: {name}, or name the file after the experiment"
        raise UserError(f"name: {tree['name']} is not the file's", where=file, remedy=remedy)
    return InlineParams(file, tree)


def _refuse_silent_replacement(root: Path, section: str, name: str, tree: Tree) -> None:
    """Raises: UserError if a project's file and the shipped one of its name differ, and not on purpose."""
    place, file = shipped_tree(root, section, name), section_file_path(section, name)
    on_purpose = tree.get("base") == name or tree.get("replaces") == "shipped"
    if place is None or on_purpose or place == tree:
        if tree.get("replaces") not in {None, "shipped"} or ("replaces" in tree and place is None):
            remedy = "write `replaces: shipped`, in a project's file whose name is shipped, or remove the line"
            raise UserError(f"replaces: {tree['replaces']!r} is not possible here", where=file, remedy=remedy)
        return
    remedy = f"write `base: {name}` to vary it, or `replaces: shipped` to stand for it, or choose another name"
    raise UserError(f"{name} is also shipped, with other values", where=file, remedy=remedy)


def _resolve_source(
    files: _ParamsSource, section: str, name: str, context: Sequence[str], seen: tuple[str, ...]
) -> ResolvedSection:
    found = _load_params(files, section, name)
    file, tree = found.place, found.tree
    formats.checked_format(tree.get("format", FORMAT), newest=FORMAT, where=file)
    if "name" in tree and section != "experiments":
        raise UserError("unknown key name", where=file, remedy="only experiments have one: remove it")
    if f"{files.folder}/{name}" in seen:
        raise UserError(f"base: {name} leads back to itself", where=file, remedy="break the circle")
    leaves: dict[str, ResolvedValue] = {}
    bases: tuple[ResolvedValue, ...] = ()
    base_files: tuple[str, ...] = ()
    base = tree.get("base")
    if base is not None:
        if not isinstance(base, str):
            raise UserError("base must be the name of a file", where=file)
        below = _resolve_source(files.of_base(name, base), section, base, context, (*seen, f"{files.folder}/{name}"))
        link = ResolvedValue(base, _origin(files, section, name, "base", file), None)
        leaves, bases = dict(below.leaves), (link, *below.bases)
        base_files = below.files
    sources = _sources(tree, file)
    _check_override_names(files, tree, file, section)
    own = {key: value for key, value in tree.items() if key not in OWN_KEYS}
    put = partial(
        _overlay,
        leaves,
        later=files.later,
        file=file,
        origin=partial(_origin, files, section, name, file=file),
        sources=sources,
    )
    put(own, prefix="", only_known=base is not None)
    for part in context:
        node = _dig(tree.get("overrides"), part, file)
        values = {key: value for key, value in node.items() if not key.startswith("ipc")} if node else {}
        put(values, prefix=f"overrides.{part}.", only_known=True)
    return ResolvedSection(leaves, file, bases, base_files)


def _check_override_names(files: _ParamsSource, tree: Tree, file: str, section: str) -> None:
    overrides = tree.get("overrides") or {}
    if not isinstance(overrides, dict):
        raise UserError("overrides must be a mapping of datasets", where=file)
    if "overrides" in tree and section not in OVERRIDABLE:
        raise UserError(f"overrides: {section} have none", where=file, remedy="make a variant with base: instead")
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
        raise UserError("sources must map a key prefix to a text", where=file)
    return {key: str(text) for key, text in sources.items()}


def _dig(overrides: Value, part: str, file: str) -> Tree | None:
    node: Value = overrides
    for name in part.split("."):
        if node is None:
            return None
        if not isinstance(node, dict):
            raise UserError(f"overrides.{part} must be a mapping", where=file)
        node = node.get(name)
    if node is not None and not isinstance(node, dict):
        raise UserError(f"overrides.{part} must be a mapping", where=file)
    return node


def location_text(place: str, key: str) -> str:
    """A key of a file, or of a part of one."""
    return f"{place}.{key}" if ": " in place else f"{place}: {key}"


def _origin(files: _ParamsSource, section: str, name: str, key: str, file: str) -> ValueOrigin:
    return ValueOrigin(
        section_file_path(section, name).replace("params", files.folder, 1), key, location_text(file, key)
    )


def _overlay(
    leaves: dict[str, ResolvedValue],
    tree: Tree,
    *,
    file: str,
    origin: Callable[[str], ValueOrigin],
    prefix: str,
    sources: dict[str, str],
    only_known: bool,
    later: frozenset[str],
) -> None:
    fresh, values = replaced_sections(tree), dict(flatten(tree, file=file))
    for section in fresh:
        old = [key for key in leaves if key == section or key.startswith(f"{section}.")]  # `initial: real` is one, too
        if only_known and not old:
            raise UserError(f"unknown key {prefix}{section}", where=file, remedy="name a section that the base has")
        for key in set(old) - take_inherited(
            values, section, old, where=location_text(file, f"{prefix}{section}.inherits")
        ):
            del leaves[key]
    for key, value in values.items():
        inside_fresh = any(key == one or key.startswith(f"{one}.") for one in (*fresh, *later))
        if f"{key}.kind" in leaves:  # a value in short takes the place of one in full
            for inner in [inner for inner in leaves if inner.startswith(f"{key}.")]:
                del leaves[inner]
            inside_fresh = True
        if only_known and key not in leaves and not inside_fresh:
            near = get_close_matches(key, leaves, n=1)
            hint = f"did you mean {near[0]}?" if near else "an override may only change a key that the preset has"
            raise UserError(f"unknown key {prefix}{key}", where=file, remedy=hint)
        source = _source_of(f"{prefix}{key}", sources)
        leaves[key] = ResolvedValue(value, origin(f"{prefix}{key}"), source)


def _source_of(key: str, sources: dict[str, str]) -> str | None:
    best = [prefix for prefix in sources if key == prefix or key.startswith(f"{prefix}.")]
    if best:
        return sources[max(best, key=len)]
    return sources.get("all")
