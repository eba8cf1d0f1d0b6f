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

The experiment's name is the file's. Values are told to stand in `<file>` and `<file>#presets.<name>`, without the
folder: the same file makes the same artifacts wherever it lies.
"""

import re
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.resolve import Extra, Given, available
from dcpipe.params.strict_yaml import Tree, Value, read
from dcpipe.workflow.stages import NAME

PRESETS = "presets"
BROUGHT = {PRESETS: "methods", "datasets": "datasets", "experts": "experts", "evaluations": "evaluations"}  # sections


def find(root: Path, text: str) -> tuple[str, Extra]:
    """The name of the experiment that a text means, and what to look up beside params/ for it.

    A text that ends in .yaml is a path; any other is a name in params/experiments.
    Raises: UserError if there is no such file, it is no experiment, or a name in it exists in params/.
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
    _refuse_name(root, "experiments", path.stem, where=text, remedy="rename the file")
    extra: dict[str, dict[str, Given]] = {}
    for key, section in BROUGHT.items():
        brought = _brought(root, key, tree.pop(key, {}), text)
        extra[section] = {name: Given(f"{path.name}#{key}.{name}", values) for name, values in brought.items()}
    return path.stem, {**extra, "experiments": {path.stem: Given(path.name, tree)}}


def _brought(root: Path, key: str, found: Value, where: str) -> dict[str, Tree]:
    """The files that the mapping below a key stands for, by their names."""
    brought: dict[str, Tree] = {}
    for name, values in found.items() if isinstance(found, dict) else [("", found)]:
        place = f"{key}.{name}" if name else key
        if not isinstance(values, dict):
            raise UserError(f"{place} must be a mapping", where=where, remedy="write NAME: and its values below it")
        _refuse_name(root, BROUGHT[key], name, where=f"{where}: {place}", remedy="choose another name")
        brought[name] = values
    return brought


def _refuse_name(root: Path, section: str, name: str, *, where: str, remedy: str) -> None:
    if not re.fullmatch(NAME, name):
        what = f"{name!r} is no name: names are small letters and digits in words joined by -"
        raise UserError(what, where=where, remedy=remedy)
    if name in available(root, section):
        raise UserError(f"params/{section}/{name}.yaml exists already", where=where, remedy=remedy)
