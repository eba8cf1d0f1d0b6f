"""Packages that add values by the entry point: what a wrong one is told, and that a right one is imported."""

import os
import sys
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import plugins
from dcpipe.params.axis import load_values
from dcpipe.params.outer_axes import OptimiserConfig


def _write(folder: Path, name: str, source: str, entry_points: str) -> None:
    """A package of one module."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def _install(folder: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of one module in a folder that Python looks into."""
    _write(folder, name, source, f"[test.axes]\n{name} = {name}\n")
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


MALFORMED = {
    "[test.axes]\nsoft = soft lab.knobs\n": (
        "bad: entry point test.axes: soft = 'soft lab.knobs' is not the name of a module; "
        'write it as in soft = "our_package.smoothed_config", and install bad again'
    ),
    "[console_scripts]\nsoft\n": "bad: its entry_points.txt is malformed; reinstall or uninstall bad",
}


@pytest.mark.parametrize("lines", MALFORMED, ids=["no module", "no value"])
def test_a_malformed_entry_point_is_refused_by_package(
    lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, "bad", "", lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as caught:
        plugins.load_plugins.__wrapped__("test.axes")
    assert str(caught.value) == MALFORMED[lines]


NESTEROV = """from typing import Literal
from pydantic import Field
from pydantic.dataclasses import dataclass
from dcpipe.params.outer_axes import OptimiserConfig
from dcpipe.params.schema import STRICT, PositiveFloat

{decorator}
class Nesterov(OptimiserConfig):
    {docstring}
    implementation = ()
    kind: Literal["nesterov"]
    learning_rate: PositiveFloat{description}
    def build(self): ...
"""
DATACLASS, DOCSTRING = "@dataclass(frozen=True, kw_only=True, config=STRICT)", '"""Descent that looks ahead."""'
DESCRIPTION = ' = Field(description="step size")'


def _plan_with(root: Path, package: Path, decorator: str, docstring: str, description: str) -> tuple[int, str]:
    """What `dcpipe plan` answers where a package with an optimiser is installed."""
    package.mkdir()
    entry_points = "[dcpipe.axes]\nnesterov = nesterov\n"
    _write(
        package,
        "nesterov",
        NESTEROV.format(decorator=decorator, docstring=docstring, description=description),
        entry_points,
    )
    search = f"{repository.ROOT / 'src'}{os.pathsep}{package}"
    done = repository.child(root, "-m", "dcpipe", "plan", "tiny", PYTHONPATH=search)
    return done.returncode, done.stderr


def test_a_package_says_what_its_knobs_are(root: Path, tmp_path: Path) -> None:
    assert _plan_with(root, tmp_path / "described", DATACLASS, DOCSTRING, DESCRIPTION) == (0, "")
    code, line = _plan_with(root, tmp_path / "undescribed", DATACLASS, DOCSTRING, "")
    assert code == 2
    assert line == (
        "dcpipe: nesterov.Nesterov.learning_rate: this knob has no description; "
        'write learning_rate: TYPE = Field(description="...")\n'
    )
    code, line = _plan_with(root, tmp_path / "without-docstring", DATACLASS, "", DESCRIPTION)
    assert code == 2
    assert line.startswith("dcpipe: nesterov.Nesterov.kind: this knob has no description; write a docstring")
    code, line = _plan_with(root, tmp_path / "plain", "", DOCSTRING, "")
    assert code == 2
    assert line.startswith("dcpipe: nesterov.Nesterov: is not a pydantic dataclass; write @dataclass(frozen=True, ")


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
