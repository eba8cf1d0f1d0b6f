"""An experiment from elsewhere: one YAML file outside params/, with the presets that it brings along.

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

The experiment's name is the file's. Values are told to stand in `<file>` and `<file>#presets.<name>`, without the
folder: the same file makes the same artifacts wherever it lies.
"""

import re
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.resolve import Extra, Given, available
from dcpipe.params.strict_yaml import Tree, Value, read
from dcpipe.stages import NAME

PRESETS = "presets"


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
    presets = _presets(root, tree.pop(PRESETS, {}), text)
    methods = {name: Given(f"{path.name}#{PRESETS}.{name}", values) for name, values in presets.items()}
    return path.stem, {"experiments": {path.stem: Given(path.name, tree)}, "methods": methods}


def _presets(root: Path, found: Value, where: str) -> dict[str, Tree]:
    presets: dict[str, Tree] = {}
    for name, values in found.items() if isinstance(found, dict) else [("", found)]:
        if not isinstance(values, dict):
            place = f"{PRESETS}.{name}" if name else PRESETS
            raise UserError(f"{place} must be a mapping", where=where, remedy="write NAME: and its values below it")
        _refuse_name(root, "methods", name, where=f"{where}: {PRESETS}.{name}", remedy="choose another name")
        presets[name] = values
    return presets


def _refuse_name(root: Path, section: str, name: str, *, where: str, remedy: str) -> None:
    if not re.fullmatch(NAME, name):
        what = f"{name!r} is no name: names are small letters and digits in words joined by -"
        raise UserError(what, where=where, remedy=remedy)
    if name in available(root, section):
        raise UserError(f"params/{section}/{name}.yaml exists already", where=where, remedy=remedy)
