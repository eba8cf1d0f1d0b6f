"""Packages that add values by the entry point: what a wrong one is told, and that a right one is imported."""

import sys
from pathlib import Path

import pytest

from dcpipe.errors import UserError
from dcpipe.params import plugins
from dcpipe.params.axis import load_values
from dcpipe.params.outer_axes import OptimiserConfig


def _install(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of one module in a folder that Python looks into."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[test.axes]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("source", ["X = 1\n", "AXES_FORMAT = 1\n"], ids=["unstated", "stated"])
def test_a_module_of_this_interface_is_imported(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"right_{len(source)}"
    _install(tmp_path, name, source, monkeypatch)
    assert plugins.load_plugins.__wrapped__("test.axes") == (name,)
    assert name in sys.modules


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("newer", "AXES_FORMAT = 2\n", "newer: newer: was written for interface 2 of dcpipe.axes; this dcpipe has"),
        ("leaving", "raise SystemExit(3)\n", r"leaving: leaving: cannot be imported \(SystemExit: 3"),
        ("broken", "import no_such_module\n", r"broken: broken: cannot be imported \(ModuleNotFoundError: "),
    ],
)
def test_a_module_that_does_not_fit_is_refused_by_name(
    name: str, source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, name, source, monkeypatch)
    with pytest.raises(UserError, match=f"^{message}"):
        plugins.load_plugins.__wrapped__("test.axes")


VALUE = """from typing import Literal
from dcpipe.params.outer_axes import OptimiserConfig

class {name}(OptimiserConfig):
    {lines}
"""
WRONG_VALUES = {
    "the kind and name of ours": ("Sgd", "implementation = ()\n    kind: Literal['sgd']", "the kind sgd of"),
    "the kind of ours": ("Mine", "implementation = ()\n    kind: Literal['sgd']", "the kind sgd of"),
    "no implementation": ("Mine", "kind: Literal['mine']", "state its implementation"),
    "no Literal": ("Mine", "implementation = ()\n    kind: str", "write its kind as a Literal"),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_a_value_that_would_pass_unseen_is_refused_by_package(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, lines, message = WRONG_VALUES[case]
    load_values()
    before = dict(OptimiserConfig.registry)
    package = f"wrong_{len(case)}"
    _install(tmp_path, package, VALUE.format(name=name, lines=lines), monkeypatch)
    with pytest.raises(UserError, match=f"^{package}: {package}: cannot be imported .*{message}"):
        plugins.load_plugins.__wrapped__("test.axes")
    assert OptimiserConfig.registry == before
