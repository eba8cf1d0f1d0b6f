"""Which file a name of a section means, and what it says.

In a project a name is looked up in the project's params/, then among the shipped files; a project's file that has a
shipped name and other values must say so. What an experiment's file brings along, and the rows of papers, stand for
files without being any.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from dcpipe.errors import UserError
from dcpipe.params import shipped
from dcpipe.params.strict_yaml import Tree, read_yaml

SHIPPED_FOLDER = "params/shipped"  # of the shipped files that a project varies under their own name
SECTIONS = ("datasets", "experts", "methods", "evaluations", "applications", "experiments")
INLINE_SECTIONS = {
    "presets": "methods",
    "datasets": "datasets",
    "experts": "experts",
    "evaluations": "evaluations",
    "applications": "applications",
}  # the keys of an experiment's file that bring along files, and the section of each


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
    folders = (root, shipped.fallback_params_root(root))
    return sorted({path.stem for folder in folders if folder for path in (folder / "params" / section).glob("*.yaml")})


def file_path(root: Path, section: str, name: str) -> Path:
    """The file that a name is read from: the project's, or else the shipped one; it need not exist."""
    file = section_file_path(section, name)
    place = shipped.fallback_params_root(root)
    if place and (place / file).is_file() and (not (root / file).is_file() or shipped.is_copy(root, file)):
        return place / file
    return root / file


def shipped_tree(root: Path, section: str, name: str) -> Tree | None:
    """What the package says of a name, where `root` is a project and the name is shipped."""
    place = shipped.fallback_params_root(root)
    path = place / section_file_path(section, name) if place else None
    return read_yaml(path) if path and path.is_file() else None


@dataclass(frozen=True, slots=True)
class ParamsSource:
    """Where params are looked up: files below a root, what is given beside them, and which keys they may leave out.

    `folder` begins the identity of their values.
    """

    root: Path
    extra: InlineSections
    later: frozenset[str] = frozenset()
    folder: str = "params"

    def base_source(self, name: str, base: str) -> "ParamsSource":
        """Where the base of a file is looked up: a project's file that varies its own name has the shipped one."""
        place = shipped.fallback_params_root(self.root)
        if base != name or place is None or self.folder == SHIPPED_FOLDER:
            return self
        return replace(self, root=place, extra=NO_INLINE_SECTIONS, folder=SHIPPED_FOLDER)

    def names(self, section: str) -> list[str]:
        return sorted({*available_names(self.root, section), *self.extra.get(section, ())})


def load_params(files: ParamsSource, section: str, name: str) -> InlineParams:
    if name in files.extra.get(section, ()):
        return files.extra[section][name]
    file, path = section_file_path(section, name), file_path(files.root, section, name)
    if not path.is_file():
        names = files.names(section)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        if not names:
            hint = "there are none: run dcpipe in a project; `dcpipe init FOLDER` makes one"
        raise UserError(f"there is no {section} file named {name!r}", where=file, remedy=hint)
    tree = read_yaml(path)
    _refuse_silent_replacement(files.root, section, name, tree)
    if section == "experiments":
        tree = {key: value for key, value in tree.items() if key not in INLINE_SECTIONS}
    if section == "experiments" and tree.get("name", name) != name:
        remedy = f"write name: {name}, or name the file after the experiment"
        raise UserError(f"name: {tree['name']} differs from the file's name", where=file, remedy=remedy)
    return InlineParams(file, tree)


def _refuse_silent_replacement(root: Path, section: str, name: str, tree: Tree) -> None:
    """Raises: UserError if a project's file and the shipped one of its name differ, and not on purpose."""
    place, file = shipped_tree(root, section, name), section_file_path(section, name)
    on_purpose = tree.get("base") == name or tree.get("replaces") == "shipped"
    if place is None or on_purpose or place == tree:
        if tree.get("replaces") not in {None, "shipped"} or ("replaces" in tree and place is None):
            remedy = "write `replaces: shipped`, in a file that has the name of a shipped one, or remove the line"
            raise UserError(f"replaces: {tree['replaces']!r} is not possible here", where=file, remedy=remedy)
        return
    remedy = f"write `base: {name}` to vary it, or `replaces: shipped` to replace it, or choose another name"
    raise UserError(f"{name} is also shipped, with other values", where=file, remedy=remedy)
