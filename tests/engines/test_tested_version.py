"""Laws of the engines' versions: their private calls stand in two files, and another version is named before them."""

import ast
import tomllib
from pathlib import Path

import pytest

import repository
from clone import Clone
from dcpipe.engines import dvc_private, snakemake_private
from dcpipe.engines.tested_version import TestedEngine, installed_version

ENGINES = {"dvc": dvc_private.ENGINE, "snakemake": snakemake_private.ENGINE}


def imported(file: Path) -> set[str]:
    """The top-level packages that a module imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names}


def test_an_engine_is_imported_in_its_own_file_alone() -> None:
    for package in ENGINES:
        files = [file for file in (repository.ROOT / "src").rglob("*.py") if package in imported(file)]
        assert [file.name for file in files] == [f"{package}_private.py"]


def test_what_is_installed_pinned_and_tested_is_one_series() -> None:
    project = tomllib.loads((repository.ROOT / "pyproject.toml").read_text())["project"]
    pins = (repository.ROOT / "constraints.txt").read_text().splitlines()
    for package, tested in ENGINES.items():
        assert tested.problem() is None
        assert f"{package}=={tested.series}.*" in project["optional-dependencies"]["engines"]
        assert f"{package}=={installed_version(package)}" in pins


@pytest.mark.parametrize(
    ("series", "fits"), [("3.67", True), ("3.6", False), ("3", True), ("3.67.1", True), ("3.68", False)]
)
def test_a_series_holds_its_own_versions_alone(
    series: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, "dvc", "3.67.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert (TestedEngine("DVC", "dvc", series).problem() is None) == fits


def test_an_engine_that_is_not_installed_is_asked_for() -> None:
    problem = TestedEngine("Nothing", "dcpipe-has-no-such-engine", "1").problem()
    assert problem == "Nothing is not installed here; pip install 'dcpipe[engines]'"


def pretend(folder: Path, package: str, version: str) -> None:
    """Let a package look as if it were installed in a version, to those who find this folder first."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("package", ENGINES)
def test_another_version_is_named_with_what_to_install(package: str, tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    pretend(clone.path / "src", package, "99.1.0")
    tested = ENGINES[package]
    problem = (
        f"{tested.name} 99.1.0 is installed, and dcpipe was tested with {tested.name} {tested.series}.* only; "
        f"pip install '{package}=={tested.series}.*'"
    )
    done = clone.dcpipe("record", "tiny", ok=False)
    assert (done.returncode, done.stderr) == (1, f"dcpipe: {problem}\n")
    told = clone.run("snakemake", "--config", "experiment=tiny", ok=False)
    first, _, remedy = problem.partition("; ")
    assert f"dcpipe: {tested.name}: {first}, so the run could not be recorded; {remedy}; or run without" in told.stderr
    assert told.returncode == 2
    assert not (clone.path / "artifacts").exists()
