"""Packages that add values by the entry point: what a wrong one is told, and that a right one is imported."""

import sys
from pathlib import Path

import pytest

from dcpipe.errors import UserError
from dcpipe.params import plugins


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
    assert plugins.load.__wrapped__("test.axes") == (name,)
    assert name in sys.modules


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("newer", "AXES_FORMAT = 2\n", "newer: newer: was written for interface 2 of dcpipe.axes; this dcpipe has"),
        ("broken", "import no_such_module\n", r"broken: broken: cannot be imported \(ModuleNotFoundError: "),
    ],
)
def test_a_module_that_does_not_fit_is_refused_by_name(
    name: str, source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, name, source, monkeypatch)
    with pytest.raises(UserError, match=f"^{message}"):
        plugins.load.__wrapped__("test.axes")
