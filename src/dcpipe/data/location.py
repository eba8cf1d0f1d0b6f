"""Where this machine keeps its data: the environment variable DCPIPE_DATA, or an untracked local.yaml.

    data_root: ~/data           one subfolder a source: ~/data/cifar10, ~/data/tiny-imagenet, ...
    roots:                      the place of single sources, if it is another; wins over both roots
      imagenet: /datasets/ilsvrc2012

A location is never a param: two machines that hold the same bytes in different places make the same artifacts.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, Value, read_yaml

ENVIRONMENT_VARIABLE = "DCPIPE_DATA"
FILE = "local.yaml"


def data_path(root: Path, name: str) -> Path:
    """Where the source `name` lies, or should lie; paths in local.yaml are relative to the repository's `root`.

    Raises: UserError if neither the variable nor the file states a folder, or the file has unknown keys.
    """
    local = _read_local_settings(root)
    if name in local.roots:
        return _absolute(root, local.roots[name])
    variable = os.environ.get(ENVIRONMENT_VARIABLE)
    if variable:
        return Path(variable).expanduser() / name
    if local.has_data_root:
        return _absolute(root, local.data_root) / name
    remedy = f"set {ENVIRONMENT_VARIABLE} to the folder that holds {name}/, or write `data_root: FOLDER` into {FILE}"
    raise UserError("the data folder of this machine is not set", where=name, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _LocalSettings:
    """The content of local.yaml; a path is checked when it is used."""

    has_data_root: bool = False
    data_root: Value = None
    roots: Tree = field(default_factory=dict)


def _read_local_settings(root: Path) -> _LocalSettings:
    path = root / FILE
    if not path.is_file():
        return _LocalSettings()
    tree = read_yaml(path)
    for key in tree:
        if key not in {"data_root", "roots"}:
            raise UserError(f"unknown key {key}", where=FILE, remedy="use data_root and roots only")
    roots = tree.get("roots")
    roots = {} if roots is None else roots
    if not isinstance(roots, dict):
        raise UserError("roots must map names to folders", where=FILE, remedy="write `name: folder` lines below it")
    return _LocalSettings("data_root" in tree, tree.get("data_root"), roots)


def _absolute(root: Path, value: Value) -> Path:
    if not isinstance(value, str):
        raise UserError(f"{value!r} is not a path", where=FILE, remedy="write paths as data_root and below roots")
    return root / Path(value).expanduser()
