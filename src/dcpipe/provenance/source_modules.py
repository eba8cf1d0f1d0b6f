"""The modules of this package and of those that register: what each means, what it imports, and what it reaches.

A digest is taken over a module's syntax tree without comments, docstrings and formatting. See `code_identity`.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.params import plugins
from dcpipe.params.axis import is_config

PACKAGE = "dcpipe"
SOURCE = Path(__file__).parents[1]

# Modules that decide what runs, or say what happened, but never a number in an artifact. What the params
# package makes of a file stands in the job's resolved params.
NEUTRAL = (
    "dcpipe.api", "dcpipe.cli", "dcpipe.commands", "dcpipe.engines", "dcpipe.errors", "dcpipe.loggers", "dcpipe.params",
    "dcpipe.progress",
    "dcpipe.provenance.card", "dcpipe.provenance.code_identity", "dcpipe.provenance.damage",
    "dcpipe.provenance.durable", "dcpipe.provenance.equivalences", "dcpipe.provenance.older_cards",
    "dcpipe.provenance.source_modules", "dcpipe.provenance.staleness", "dcpipe.report",
    "dcpipe.workflow.costs", "dcpipe.workflow.device_pool", "dcpipe.workflow.engine_watch",
    "dcpipe.workflow.environment", "dcpipe.workflow.estimates", "dcpipe.workflow.execution", "dcpipe.workflow.graph",
    "dcpipe.workflow.job", "dcpipe.workflow.machine", "dcpipe.workflow.machine_speed", "dcpipe.workflow.progress_line",
    "dcpipe.workflow.run_progress", "dcpipe.workflow.runner", "dcpipe.workflow.stages",
    "dcpipe.workflow.state_folder", "dcpipe.workflow.stopping",
)  # fmt: skip
PLAN = "_plan"  # ends the names of modules that say what a stage reads and what can alter it (`workflow/stages.py`)


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
def module_paths() -> dict[str, Path]:
    """The file of every module of this package and of those that register, by dotted name."""
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
    counted = {name: path for name, path in module_paths().items() if not is_neutral(name)}
    return {name: _digest_of(path, path.stat().st_mtime_ns) for name, path in counted.items()}


def source_files() -> list[Path]:
    """The files of every module of this package and of those that register, neutral ones too."""
    return list(module_paths().values())


def _digest_of(path: Path, mtime_ns: int) -> str:
    return _facts(path, mtime_ns)[0]


@cache
def _facts(path: Path, _mtime_ns: int) -> tuple[str, tuple[ast.Import | ast.ImportFrom, ...], bool]:
    """Digest, imports and emptiness of a file: parsed once for all three."""
    found = _read_source(path.read_text())
    return found.digest, tuple(found.imports), found.is_empty


def _facts_of(module: str) -> tuple[str, tuple[ast.Import | ast.ImportFrom, ...], bool]:
    path = module_paths()[module]
    return _facts(path, path.stat().st_mtime_ns)


@cache
def _imports(module: str) -> frozenset[str]:
    """The counted packages' modules that one of them imports, anywhere in it but under TYPE_CHECKING."""
    paths, found = module_paths(), set[str]()
    is_package = paths[module].name == "__init__.py"
    for node in _facts_of(module)[1]:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")
            kept = len(parents) - node.level + is_package  # of a relative import
            base = ".".join((*(parents[:kept] if node.level else ()), *([node.module] if node.module else ())))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(name for name in found if name in paths)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def reached_modules(roots: Iterable[str]) -> tuple[str, ...]:
    """The modules that code starting at `roots` can run: the closure of imports, neutral modules left out."""
    todo, seen = list(roots), set[str]()
    while todo:
        name = todo.pop()
        if name in seen or is_neutral(name):
            continue
        if name not in module_paths():
            remedy = f"name a module of {PACKAGE}, or of an installed package that registers under {plugins.GROUP}"
            raise UserError(f"there is no module {name}", where="the code of a job", remedy=remedy)
        seen.add(name)
        todo += _imports(name)
        package = name.rpartition(".")[0]
        if package in module_paths():
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
    is_package = module_paths()[module].name == "__init__.py"
    return f"modules.{inner}.__init__" if is_package else f"modules.{inner}"
