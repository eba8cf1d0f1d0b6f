"""The folder that a call of the library works in: a project, or a temporary one that ends with the process.

Names of what is written are made of the content, so that the same call finds what it made before, and two calls with
different values never meet.
"""

import atexit
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from dcpipe.commands import init_project
from dcpipe.commands.new.new_experiment import local_yaml_text
from dcpipe.data import location
from dcpipe.data.source import digest_of
from dcpipe.errors import UserError
from dcpipe.params import params_files, shipped
from dcpipe.params.strict_yaml import Tree, parse_yaml, read_yaml
from dcpipe.provenance.artifact import sha256
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.graph import Graph

DATA_FOLDER = "data"  # the folder of the workspace that holds what calls were given
DIGEST_DIGITS = 8  # of a digest in a name


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project's folder."""

    root: Path

    @classmethod
    def open(cls, folder: str | Path | None) -> "Workspace":
        """The project in a folder, which is made if it is new or empty; None: the temporary one of this process.

        Raises: UserError if the folder holds other things.
        """
        root = _temporary() if folder is None else Path(folder).expanduser().resolve()
        if not shipped.is_project(root) and not (root / "params").is_dir():
            init_project.init_unversioned(root)
        return cls(root)

    def graph(self) -> Graph:
        """The graph of the params as they stand now."""
        return Graph(self.root)

    def names(self, section: str) -> list[str]:
        """What a section of params has here."""
        return params_files.available_names(self.root, section)

    def refuse_unknown(self, section: str, name: str, argument: str) -> None:
        """Raises: UserError for a name that a section of params does not have, with those that are near."""
        names = self.names(section)
        if name not in names:
            near = get_close_matches(name, names, n=3, cutoff=0.5)
            remedy = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names)}"
            raise UserError(f"there is no {argument} {name!r}", where=argument, remedy=remedy)

    def define(self, section: str, tree: Tree, *, stem: str, name: str | None = None) -> str:
        """Write a params file, unless it is there already. Returns its name.

        It is made of `stem` and a digest of what the file says; or it is `name`, which then says all that matters.
        """
        chosen = (
            name or f"{stem}-{hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]}"
        )
        file = params_files.section_file_path(section, chosen)
        path = self.root / file
        if path.is_file() and (name or read_yaml(path) == parse_yaml(as_text(tree), file)):
            return chosen
        head = "# Written by a call of dcpipe in Python.\n"
        write_atomically(path, (head + as_text(tree)).encode())
        return chosen

    def keep_arrays(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> str:
        """Keep arrays as a source of the kind `folder`. Returns the digest that pins them."""
        path = self.root / DATA_FOLDER / f"{name}.npz"
        if not path.is_file():
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_atomically(path, content.getvalue())
        self.register_data_path(name)
        return digest_of([("npz", path)])

    def keep_tensors(self, stem: str, tensors: Mapping[str, Tensor]) -> tuple[str, str]:
        """Keep tensors as a set that is given. Returns its name and the digest that pins it."""
        content = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
        name = f"{stem}-{hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]}"
        path = self.root / DATA_FOLDER / f"{name}.safetensors"
        if not path.is_file():
            write_atomically(path, content)
        self.register_data_path(name)
        return name, f"sha256:{sha256(path)}"

    def register_data_path(self, name: str) -> None:
        """Say in local.yaml where the data of a name is: in the workspace."""
        (self.root / ".dcpipe").mkdir(exist_ok=True)
        with FileLock(self.root / ".dcpipe" / "local.lock"):
            text = local_yaml_text(self.root, name, self.root / DATA_FOLDER / name)
            if text is not None:
                write_atomically(self.root / location.FILE, text.encode())


def as_text(tree: Tree) -> str:
    """The YAML of a params file."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


@cache
def _temporary() -> Path:
    """One folder a process, so that a call that was interrupted can be continued."""
    folder = Path(tempfile.mkdtemp(prefix="dcpipe-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
