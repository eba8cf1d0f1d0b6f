"""Which code made a result: one digest per module, and the modules that a job's composition reaches.

A digest is taken over the module's syntax tree without comments, docstrings and formatting, so only a change
that could alter a number alters it. A job names the modules that its resolved composition reaches: the closure
of the imports, starting at the implementations its params choose. `code_identity.yaml` holds the digests and the pinned
versions of the libraries that write bytes, so that DVC and Snakemake see a change as a changed param. Where a change
is known to alter no byte, the file and the jobs keep the older digest (see `equivalences`).

Packages that register values, stages or networks by the entry point `dcpipe.axes` count like ours: their modules stand
in the file under `modules.packages` as long as the package is installed, and in the params of the jobs that reach them.
What they import of further packages is not followed. So everybody who works on a project must have the same ones: a
project that uses such a package commits the file with its keys, and pins the package in constraints.txt beside the
others; one that does not, keeps it out of its environment. Without the package the kinds it registers are unknown,
which planning says, and the file is stale.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from dcpipe.errors import RefusedError
from dcpipe.params import shipped
from dcpipe.params.strict_yaml import Tree, Value, read_yaml
from dcpipe.provenance import equivalences
from dcpipe.provenance.equivalences import PINS, Equivalences
from dcpipe.provenance.source_modules import current_digests, module_key

FILE = "code_identity.yaml"
PINNED = ("torch", "numpy", "zarr", "numcodecs", "safetensors", "scikit-learn", "pillow")


def pinned_versions(root: Path) -> str:
    """The versions that constraints.txt pins for the libraries that write bytes, as one text; a project without that
    file has the shipped one's.
    """
    path = root / "constraints.txt"
    if shipped.is_project(root) and not path.is_file():
        path = shipped.shipped_folder() / "constraints.txt"
    text = path.read_text() if path.is_file() else ""
    found = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", text, flags=re.MULTILINE))
    return ", ".join(f"{name} {found[name]}" for name in PINNED if name in found)


@dataclass(frozen=True)
class Identity:
    """The code that runs now, by module without the package's name, with its pins; and what equals older code."""

    running: Mapping[str, str]
    equivalences: Equivalences

    @classmethod
    def of_running_code(cls, root: Path) -> "Identity":
        """The code as it stands.

        Raises: UserError if the file of equivalences is not readable.
        """
        running = {module_key(name).removeprefix("modules."): value for name, value in current_digests().items()}
        return cls({**running, PINS: pinned_versions(root)}, equivalences.read_equivalences(root))

    def code(self, modules: Iterable[str]) -> dict[str, str]:
        """What a job that reaches these modules runs."""
        return {
            name: self.running[name] for name in [*(module_key(one).removeprefix("modules.") for one in modules), PINS]
        }

    def file_entries(self, modules: Iterable[str]) -> dict[str, Value]:
        """The keys and values of the identity file that such a job names: those of older code, where it is equal."""
        kept, found = self.equivalences.identity_file_digests(self.running), dict[str, Value]()
        for name, value in self.equivalences.oldest(self.code(modules)).items():
            found[_identity_key(name, None if kept.get(name) == value else value)] = value
        return found

    def tree(self) -> Tree:
        """What the identity file should hold."""
        leaves = {
            _identity_key(name, None): value
            for name, value in self.equivalences.identity_file_digests(self.running).items()
        }
        leaves |= {
            _identity_key(name, value): value for name, value in self.equivalences.additional_digests(self.running)
        }
        return _nested(leaves)


def _identity_key(module: str, digest_besides: str | None) -> str:
    if module == PINS:
        return PINS
    return f"modules.{module}" if digest_besides is None else f"besides.{module}.{digest_besides}"


def decode_file_entries(values: Mapping[str, Value]) -> dict[str, str]:
    """The code that keys and values of the identity file stand for: what `Identity.file_entries` wrote, read back."""
    found = {}
    for key_in_file, value in values.items():
        part, _, name = key_in_file.partition(".")
        found[{"modules": name, "besides": name.rpartition(".")[0]}.get(part, key_in_file)] = str(value)
    return found


def _nested(leaves: Mapping[str, str]) -> Tree:
    """A tree from dotted keys. Raises: RefusedError if one key lies inside another."""
    tree: Tree = {}
    for place, value in sorted(leaves.items()):
        *parents, last = place.split(".")
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                problem = f"{place} cannot be written: a module of that name became a package"
                raise RefusedError(
                    problem, where=FILE, remedy=f"give the package another name, or remove {equivalences.FILE}"
                )
            node = child
        node[last] = value
    return tree


def identity_tree(root: Path) -> Tree:
    """What the identity file should hold now."""
    return Identity.of_running_code(root).tree()


def outdated_keys(root: Path) -> list[str]:
    """The keys whose value in the file is not what the code is now; empty when the file is current."""
    path = root / FILE
    recorded = flat_leaves(read_yaml(path)) if path.is_file() else {}
    now = flat_leaves(identity_tree(root))
    return sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name))


def update_file(root: Path) -> list[str]:
    """Bring the file up to date. Returns the keys that changed."""
    from dcpipe.provenance.durable import write_atomically

    changed = outdated_keys(root)
    if changed:
        head = "# One digest per module, and pinned versions: written by `dcpipe graph export`, not by hand.\n"
        text = yaml.safe_dump(identity_tree(root), sort_keys=True, default_flow_style=False)
        write_atomically(root / FILE, (head + text).encode())
    return changed


def refuse_stale(root: Path) -> None:
    """Raises: RefusedError if the file does not describe the code as it is now."""
    changed = outdated_keys(root)
    if changed:
        names = ", ".join(name.removeprefix("modules.") for name in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        remedy = "results were made by other code: run `snakemake` (or `make repro`) first"
        raise RefusedError(f"the code changed since this was written ({names}{more})", where=FILE, remedy=remedy)


def flat_leaves(tree: Tree, prefix: str = "") -> dict[str, Value]:
    """The leaves of a tree by dotted key."""
    result: dict[str, Value] = {}
    for name, value in tree.items():
        result |= flat_leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return result
