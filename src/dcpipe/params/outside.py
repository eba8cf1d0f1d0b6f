"""An experiment from elsewhere: one YAML file outside params/, with what it brings along.

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
params/<section>/<name>.yaml: copying, renaming or moving the file changes no job, nor does moving a preset from it into
params/methods/. What the file brings along may exist in params/ too, if both say the same.
"""

import re
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.resolve import Extra, Supplied, available, section_file
from dcpipe.params.strict_yaml import Tree, Value, read
from dcpipe.workflow.stages import NAME

PRESETS = "presets"
BROUGHT = {PRESETS: "methods", "datasets": "datasets", "experts": "experts", "evaluations": "evaluations"}  # sections


def find(root: Path, text: str) -> tuple[str, Extra]:
    """The name of the experiment that a text means, and what to look up beside params/ for it.

    A text that ends in .yaml is a path; any other is a name in params/experiments.
    Raises: UserError if there is no such file, it is no experiment, or params/ defines one of its names otherwise.
    """
    path = Path(text)
    if path.suffix not in {".yaml", ".yml"}:
        return text, {}
    if path.resolve().parent == (root / "params" / "experiments").resolve():
        return path.stem, {}
    tree = read(path)
    if "runs" not in tree and tree.get("base") not in available(root, "experiments"):
        remedy = f"write runs, and put a method's values under {PRESETS}: NAME:"
        raise UserError("is no experiment: it has no runs", where=text, remedy=remedy)
    extra: dict[str, dict[str, Supplied]] = {}
    command = f"dcpipe run {path.name}"
    for key, section in BROUGHT.items():
        brought = _brought(key, tree.pop(key, {}), text)
        new = {
            name: values
            for name, values in brought.items()
            if _is_new(root, section, name, values, f"{text}: {key}.{name}")
        }
        extra[section] = {name: Supplied(f"{text}: {key}.{name}", values, command) for name, values in new.items()}
    name = tree.pop("name", path.stem)
    if not isinstance(name, str):
        raise UserError(f"{name!r} is no name", where=f"{text}: name", remedy="write a word")
    new_one = _is_new(root, "experiments", name, tree, text)
    return name, {**extra, "experiments": {name: Supplied(text, tree, command)} if new_one else {}}


def _brought(key: str, files: Value, where: str) -> dict[str, Tree]:
    """The files that the mapping below a key stands for, by their names."""
    brought: dict[str, Tree] = {}
    for name, values in files.items() if isinstance(files, dict) else [("", files)]:
        if not isinstance(values, dict):
            place = f"{key}.{name}" if name else key
            raise UserError(f"{place} must be a mapping", where=where, remedy="write NAME: and its values below it")
        brought[name] = values
    return brought


def _is_new(root: Path, section: str, name: str, tree: Tree, place: str) -> bool:
    """Whether params/ has no such file; one that says the same is the same.

    Raises: UserError if the name is none, or if both say something else.
    """
    if not re.fullmatch(NAME, name):
        problem = f"{name!r} is no name: write small letters and digits, with single hyphens between them"
        raise UserError(problem, where=place, remedy="choose another name")
    if name not in available(root, section):
        return True
    file = section_file(section, name)
    key = _first_difference(_values(tree), _values(read(root / file)))
    if key:
        problem = f"{name} has another definition in {file} ({key} differs)"
        raise UserError(problem, where=place, remedy="choose another name, or make both definitions equal")
    return False


def _values(tree: Tree) -> Tree:
    """What a file says, however it states its format and name."""
    return {key: value for key, value in tree.items() if key not in {"format", "name"}}


def _first_difference(ours: Tree, theirs: Tree) -> str | None:
    """The dotted key of a value that is not in both, or not the same in both."""
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key not in ours or key not in theirs:
            return key
        one, other = ours[key], theirs[key]
        if isinstance(one, dict) and isinstance(other, dict):
            inner = _first_difference(one, other)
            if inner:
                return f"{key}.{inner}"
        elif (one, type(one)) != (other, type(other)):
            return key
    return None
