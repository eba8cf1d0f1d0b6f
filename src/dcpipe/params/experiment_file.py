"""An experiment in one YAML file, wherever it lies, with the definitions that it brings along.

    title: Longer segments
    description: Does matching three epochs help?
    presets:                       name -> what would be params/methods/<name>.yaml
      mtt-long:
        base: mtt
        description: MTT with longer segments.
        label: MTT, 3 epochs
        matching: {segment: {span_epochs: 3}}
    runs:
      - {datasets: [digits], methods: [mtt, mtt-long], ipc: [1], sets: 3, evaluations: [digits], networks: [native]}

`datasets`, `experts` and `evaluations` bring along files of those sections in the same way.

The experiment's name is what the file says as `name:`, or else the file's own. Values count as those of
params/<section>/<name>.yaml: copying, renaming or moving the file, under params/experiments/ too, changes no job, nor
does moving a preset from it into params/methods/. Before the first job everything it brings along is written into
params/ (see `definitions`), so that both engines and every command find it by name. Two definitions of one name that
differ are refused; equal ones are one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params import definitions, params_files, shipped
from dcpipe.params.definitions import Definition
from dcpipe.params.params_files import INLINE_SECTIONS, InlineParams, InlineSections
from dcpipe.params.strict_yaml import Tree, Value, read_yaml
from dcpipe.workflow.stages import NAME


@dataclass(frozen=True, slots=True)
class ExperimentFile:
    """The experiment that a text means: its name, and the definitions that its file brings along; none for a name."""

    root: Path
    name: str
    definitions: tuple[Definition, ...] = ()

    @property
    def inline_sections(self) -> InlineSections:
        """The definitions, to plan with before anything is written; errors name where a person changes them."""
        extra: dict[str, dict[str, InlineParams]] = {}
        for one in self.definitions:
            extra.setdefault(one.section, {})[one.name] = InlineParams(one.place, one.tree)
        return extra

    def write_definitions(self) -> list[str]:
        """Write the definitions into params/; returns the paths that changed."""
        return definitions.write_definitions(self.root, self.definitions) if self.definitions else []


def load_experiment(root: Path, text: str) -> ExperimentFile:
    """The experiment that a text means: a path if it ends in .yaml, else a name in params/experiments.

    Writes nothing. Raises: UserError if there is no such file, it is no experiment, or params/, or another file that
    was run before, defines one of its names otherwise.
    """
    path = Path(text).expanduser()
    if path.suffix not in {".yaml", ".yml"}:
        path = root / params_files.section_file_path("experiments", text)
        if not path.is_file() or INLINE_SECTIONS.keys().isdisjoint(read_yaml(path)):
            return ExperimentFile(root, text)
        text = params_files.section_file_path("experiments", text)
    shipped.require_project(root)
    inside = path.resolve().parent == (root / "params" / "experiments").resolve()
    if inside and INLINE_SECTIONS.keys().isdisjoint(read_yaml(path)):
        return ExperimentFile(root, path.stem)
    name, found = _definitions_of(root, path, text)
    if inside:
        found = [one for one in found if one.section != "experiments"]
    return ExperimentFile(root, name, tuple(one for one in found if not _is_shipped(root, one)))


def experiment_name_of_argument(argument: str) -> str:
    """The name of the experiment that is given by name or by file; what else the file defines is not looked at.

    Raises: UserError if the file cannot be read.
    """
    path = Path(argument).expanduser()
    if path.suffix not in {".yaml", ".yml"}:
        return argument
    return str(read_yaml(path).get("name", path.stem))


def _is_shipped(root: Path, definition: Definition) -> bool:
    """Whether the shipped params say the same.

    Raises: UserError if the name is none, or if they, params/ or another file that was run before say something else.
    """
    if not re.fullmatch(NAME, definition.name):
        rule = "lower-case letters and digits, with single hyphens between them"
        problem = f"{definition.name!r} is not a valid name: write {rule}"
        raise UserError(problem, where=definition.place, remedy="choose another name")
    tree = params_files.shipped_tree(root, definition.section, definition.name)
    key = definitions.first_difference(definition.tree, tree) if tree is not None else None
    other = f"{definition.name} has another definition in the shipped params ({key} differs)" if key else None
    conflict = other or definitions.definition_conflict(
        root, definition, lambda source: _definition_in_file(root, source, definition)
    )
    if conflict:
        raise UserError(conflict, where=definition.place, remedy="choose another name, or make both definitions equal")
    return tree is not None


def _definitions_of(root: Path, path: Path, text: str) -> tuple[str, list[Definition]]:
    """The name of a file's experiment, and every definition in the file."""
    tree = read_yaml(path)
    if "runs" not in tree and tree.get("base") not in params_files.available_names(root, "experiments"):
        remedy = "list runs, and put the values of a method under presets: NAME:"
        raise UserError("has no runs, so it is not an experiment", where=text, remedy=remedy)
    source, brought = _source(root, path), list[Definition]()
    for key, section in INLINE_SECTIONS.items():
        for word, values in _inline_definitions(key, tree.pop(key, {}), text).items():
            brought.append(Definition(section, word, values, source, f"{text}: {key}.{word}"))
    name = tree.pop("name", path.stem)
    if not isinstance(name, str):
        raise UserError(f"{name!r} is not a valid name", where=f"{text}: name", remedy="write a name such as birds")
    return name, [*brought, Definition("experiments", name, tree, source, text)]


def _source(root: Path, path: Path) -> str:
    """How the index names a file: relative to the project if it lies in it."""
    place = path.resolve()
    return str(place.relative_to(root.resolve()) if place.is_relative_to(root.resolve()) else place)


def _definition_in_file(root: Path, source: str, definition: Definition) -> Tree | None:
    """What a file that was run before says of a name now; None if it is gone, unreadable, or says nothing of it."""
    try:
        _, others = _definitions_of(root, root / source, source)
    except UserError:
        return None
    return next(
        (other.tree for other in others if (other.section, other.name) == (definition.section, definition.name)), None
    )


def _inline_definitions(key: str, files: Value, where: str) -> Mapping[str, Tree]:
    """The definitions that the mapping below a key holds, by their names."""
    brought: dict[str, Tree] = {}
    for name, values in files.items() if isinstance(files, dict) else [("", files)]:
        if not isinstance(values, dict):
            place = f"{key}.{name}" if name else key
            raise UserError(f"{place} must be a mapping", where=where, remedy="write NAME: and its values below it")
        brought[name] = values
    return brought
