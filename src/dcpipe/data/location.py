"""Where this machine keeps its data: the environment variable DCPIPE_DATA, or an untracked local.yaml.

    data_root: ~/data           one subfolder a source: ~/data/cifar10, ~/data/tiny-imagenet, ...
    roots:                      the place of single sources, if it is another; wins over both roots
      imagenet: /datasets/ilsvrc2012

A location is never a param: two machines that hold the same bytes in different places make the same artifacts.
"""

import os
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree, Value, read

VARIABLE = "DCPIPE_DATA"
FILE = "local.yaml"


def find(root: Path, name: str) -> Path:
    """Where the source `name` is, or should be put. Paths in local.yaml are relative to the repository's `root`.

    Raises: UserError if neither the variable nor the file says where data is, or the file has other keys.
    """
    local = _local(root)
    roots = local.get("roots") or {}
    assert isinstance(roots, dict)  # noqa: S101 (checked by _local)
    if name in roots:
        return _absolute(root, roots[name])
    variable = os.environ.get(VARIABLE)
    if variable:
        return Path(variable).expanduser() / name
    if "data_root" in local:
        return _absolute(root, local["data_root"]) / name
    remedy = f"set {VARIABLE} to the folder that holds {name}/, or write `data_root: FOLDER` into {FILE}"
    raise UserError("nothing says where data is kept on this machine", where=name, remedy=remedy)


def _local(root: Path) -> Tree:
    path = root / FILE
    if not path.is_file():
        return {}
    tree = read(path)
    for key in tree:
        if key not in {"data_root", "roots"}:
            raise UserError(f"unknown key {key}", where=FILE, remedy="it may have data_root and roots")
    roots = tree.get("roots")
    if roots is not None and not isinstance(roots, dict):
        raise UserError("roots must map names to folders", where=FILE, remedy="write `name: folder` lines below it")
    return tree


def _absolute(root: Path, value: Value) -> Path:
    if not isinstance(value, str):
        raise UserError(f"{value!r} is not a path", where=FILE, remedy="write a folder's path")
    return root / Path(value).expanduser()
