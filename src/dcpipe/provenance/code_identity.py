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

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from dcpipe.errors import RefusedError, UserError
from dcpipe.params import plugins, shipped
from dcpipe.params.axis import is_config
from dcpipe.params.strict_yaml import Tree, Value, read_yaml
from dcpipe.provenance import equivalences
from dcpipe.provenance.equivalences import PINS, Equivalences

FILE = "code_identity.yaml"
PACKAGE = "dcpipe"
SOURCE = Path(__file__).parents[1]

# Modules that decide what runs, or say what happened, but never a number in an artifact. What the params
# package makes of a file stands in the job's resolved params.
NEUTRAL = (
    "dcpipe.api", "dcpipe.cli", "dcpipe.commands", "dcpipe.engines", "dcpipe.errors", "dcpipe.loggers", "dcpipe.params",
    "dcpipe.progress",
    "dcpipe.provenance.card", "dcpipe.provenance.code_identity", "dcpipe.provenance.damage",
    "dcpipe.provenance.durable", "dcpipe.provenance.equivalences", "dcpipe.provenance.older_cards",
    "dcpipe.provenance.staleness", "dcpipe.report",
    "dcpipe.workflow.costs", "dcpipe.workflow.device_pool", "dcpipe.workflow.engine_watch",
    "dcpipe.workflow.environment", "dcpipe.workflow.estimates", "dcpipe.workflow.execution", "dcpipe.workflow.graph",
    "dcpipe.workflow.job", "dcpipe.workflow.machine", "dcpipe.workflow.machine_speed", "dcpipe.workflow.progress_line",
    "dcpipe.workflow.run_progress", "dcpipe.workflow.runner", "dcpipe.workflow.stages",
    "dcpipe.workflow.state_folder", "dcpipe.workflow.stopping",
)  # fmt: skip
PLAN = "_plan"  # ends the names of modules that say what a stage reads and what can alter it (`workflow/stages.py`)
PINNED = ("torch", "numpy", "zarr", "numcodecs", "safetensors", "scikit-learn", "pillow")


def is_neutral(module: str) -> bool:
    """Whether a module can be edited without any artifact changing."""
    return (
        module == PACKAGE
        or is_config(module)
        or module.endswith(PLAN)
        or any(module == name or module.startswith(f"{name}.") for name in NEUTRAL)
    )


def source_digest(source: str) -> str:
    """A short SHA-256 of a module's meaning (its syntax tree without docstrings).

    It starts with a letter, so that no YAML reader takes it for a number.
    """
    return _read_source(source).digest


@dataclass(slots=True)
class _Source:
    """What one pass over a module's syntax tree finds: the tokens of its meaning, and what it imports."""

    tokens: list[str] = field(default_factory=list)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    is_empty: bool = True
    _in_type_checking: int = 0

    @property
    def digest(self) -> str:
        """Of the tokens, each with a zero byte behind it."""
        return "h" + hashlib.sha256("".join(f"{token}\0" for token in self.tokens).encode()).hexdigest()[:15]

    def visit(self, node: object) -> None:
        """Take in a node, a list of nodes, or a value."""
        if isinstance(node, ast.AST):
            if not _is_bare_text(node):  # a docstring, or a text under a definition
                self._visit_node(node)
        elif isinstance(node, list):
            self.tokens.append("[")
            for item in node:
                self.visit(item)
            self.tokens.append("]")
        else:
            self.tokens.append(repr(node))

    def _visit_node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom) and not self._in_type_checking:
            self.imports.append(node)
        hidden = _is_type_checking(node)
        self._in_type_checking += hidden
        self.tokens.append(f"({type(node).__name__}")
        for name, value in ast.iter_fields(node):
            if value is not None and value != [] and name not in {"type_comment", "type_ignores", "ctx"}:
                self.tokens.append(name)
                self.visit(value)
        self.tokens.append(")")
        self._in_type_checking -= hidden


def _read_source(source: str) -> _Source:
    tree, found = ast.parse(source), _Source()
    found.visit(tree)
    found.is_empty = all(_is_bare_text(node) for node in tree.body)
    return found


def _is_bare_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _modules() -> dict[str, Path]:
    found = _modules_below(SOURCE, PACKAGE)
    for package in sorted({module.partition(".")[0] for module in plugins.load_plugins()} - {PACKAGE}):
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            for folder in spec.submodule_search_locations:
                found |= _modules_below(Path(folder), package)
        elif spec and spec.origin:
            found[package] = Path(spec.origin)
    return found


def _modules_below(folder: Path, package: str) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def current_digests() -> dict[str, str]:
    """The digest of every module that is not neutral, of this package and of those that register, by dotted name."""
    return {
        name: _digest_of(path, path.stat().st_mtime_ns) for name, path in _modules().items() if not is_neutral(name)
    }


def source_files() -> list[Path]:
    """The files of every module of this package and of those that register, neutral ones too."""
    return list(_modules().values())


def _digest_of(path: Path, mtime_ns: int) -> str:
    return _facts(path, mtime_ns)[0]


@cache
def _facts(path: Path, _mtime_ns: int) -> tuple[str, tuple[ast.Import | ast.ImportFrom, ...], bool]:
    """Digest, imports and emptiness of a file: parsed once for all three."""
    found = _read_source(path.read_text())
    return found.digest, tuple(found.imports), found.is_empty


def _facts_of(module: str) -> tuple[str, tuple[ast.Import | ast.ImportFrom, ...], bool]:
    path = _modules()[module]
    return _facts(path, path.stat().st_mtime_ns)


@cache
def _imports(module: str) -> frozenset[str]:
    """The counted packages' modules that one of them imports, anywhere in it but under TYPE_CHECKING."""
    modules = _modules()
    found: set[str] = set()
    is_package = modules[module].name == "__init__.py"
    for node in _facts_of(module)[1]:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")
            kept = len(parents) - node.level + is_package  # of a relative import
            base = ".".join((*(parents[:kept] if node.level else ()), *([node.module] if node.module else ())))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(name for name in found if name in modules)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def reached_modules(roots: Iterable[str]) -> tuple[str, ...]:
    """The modules that code starting at `roots` can run: the closure of imports, neutral modules left out."""
    todo, seen = list(roots), set[str]()
    while todo:
        name = todo.pop()
        if name in seen or is_neutral(name):
            continue
        if name not in _modules():
            remedy = f"name a module of {PACKAGE}, or of an installed package that registers under {plugins.GROUP}"
            raise UserError(f"there is no module {name}", where="the code of a job", remedy=remedy)
        seen.add(name)
        todo += _imports(name)
        package = name.rpartition(".")[0]
        if package in _modules():
            todo.append(package)
    return tuple(sorted(name for name in seen if not is_empty(name)))


@cache
def is_empty(module: str) -> bool:
    """A package that only holds modules: nothing in it can alter a number."""
    return _facts_of(module)[2]


def module_key(module: str) -> str:
    """The key of a module's digest in the file (packages keep theirs under `__init__`, those of others `packages`)."""
    own = module == PACKAGE or module.startswith(f"{PACKAGE}.")
    inner = module.removeprefix(f"{PACKAGE}.") if own else f"packages.{module}"
    is_package = _modules()[module].name == "__init__.py"
    return f"modules.{inner}.__init__" if is_package else f"modules.{inner}"


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
