"""A wheel, a project made by it, and an experiment's file in both engines: the real commands."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clone import BIN, ROOT
from dcpipe.params import shipped
from dcpipe.params.strict_yaml import read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.xdist_group("projects")]
SHIPPED = ("Snakefile", "constraints.txt", "params", "profiles", "workflow")
FILE = """title: Hot
description: A test.
datasets: {tiny-cut: {base: tiny, split: {seed: 5}}}
presets: {mtt-hot: {base: mtt, description: A test., label: Hot, outer: {images: {optimiser: {momentum: 0.75}}}}}
runs:
  - {datasets: [tiny-cut], methods: [mtt-hot], ipc: [1], sets: 1, evaluations: [digits], networks: [native]}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for name in SHIPPED for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if "__pycache__" not in path.parts}


def test_a_wheel_and_a_source_tree_find_the_same_files(installed: Path) -> None:
    assert shipped.shipped_folder() == ROOT
    assert _files(installed / "dcpipe/shipped") == _files(ROOT)


def test_the_wheel_brings_the_progress_line_of_snakemake(installed: Path, tmp_path: Path) -> None:
    ask = (
        "from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry as Registry; import sys;"
        "handler = Registry().get_plugin('dcpipe').log_handler; print(sys.modules[handler.__module__].__file__)"
    )
    for place in (installed, ROOT / "src"):
        printed = _run(place, tmp_path, sys.executable, "-c", ask)
        assert printed.strip() == str(place / "snakemake_logger_plugin_dcpipe/log_handler.py")


def _run(site: Path, folder: Path, *command: str, ok: bool = True) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DCPIPE_")}
    search = {"PATH": f"{BIN}:{kept.get('PATH', '')}", "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, env={**kept, **search}, capture_output=True, text=True, check=False, timeout=900
    )
    if ok and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project where an experiment's file was run by Snakemake."""
    place = tmp_path_factory.mktemp("project")
    printed = _run(installed, place, "dcpipe", "init", "lab")
    assert "lab is a project. Next: `cd lab && snakemake --cores all`" in printed
    (place / "hot.yaml").write_text(FILE)
    printed = _run(installed, place / "lab", "snakemake", "--config", "experiment=../hot.yaml")
    assert "wrote params/methods/mtt-hot.yaml, params/datasets/tiny-cut.yaml, params/experiments/hot.yaml" in printed
    assert "recorded 6 jobs of hot in DVC" in printed
    return place


def test_a_project_records_a_file_in_both_engines(installed: Path, project: Path) -> None:
    lab = project / "lab"
    assert "Nothing to be done" in _run(installed, lab, "snakemake", "-n", "--config", "experiment=../hot.yaml")
    printed = _run(installed, lab, "dcpipe", "repro", "../hot.yaml")
    assert "Data and pipelines are up to date." in printed
    assert "adopted 6 jobs of hot: Snakemake has nothing to do" in printed
    locked = read_yaml(lab / "experiments/hot/dvc.lock")["stages"]
    (distilled,) = [stage for name, stage in locked.items() if name.startswith("distill")]
    assert {"params/methods/mtt-hot.yaml", "params/methods/mtt.yaml"} <= distilled["params"].keys()
    assert (lab / "results/hot/report.html").is_file()
    assert not (lab / "dvc.yaml").exists(), "the default experiment was not run"


def test_a_copied_or_renamed_or_moved_file_makes_nothing_again(installed: Path, project: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(project, tmp_path / "place", symlinks=True))
    lab = place / "lab"
    shutil.copy2(place / "hot.yaml", place / "copy.yaml")
    planned = _run(installed, lab, "snakemake", "-n", "--config", "experiment=../copy.yaml")
    rules = {line.removeprefix("rule ").rstrip(":") for line in planned.splitlines() if line.startswith("rule ")}
    assert rules == {"metrics", "report", "project"}
    _run(installed, lab, "dcpipe", "graph", "export", "../copy.yaml")
    status = _run(installed, lab, "dvc", "status", "--with-deps", "experiments/copy/dvc.yaml")
    assert {line.rstrip(":") for line in status.splitlines() if line and line[0] not in " \t"} == {
        "experiments/copy/dvc.yaml:metrics_copy"
    }
    shutil.move(place / "hot.yaml", lab / "params/experiments/hot.yaml")
    for name in ("hot", "params/experiments/hot.yaml"):
        assert "Nothing to be done" in _run(installed, lab, "snakemake", "-n", "--config", f"experiment={name}")
    assert "up to date" in _run(installed, lab, "dvc", "status", "--with-deps", "experiments/hot/dvc.yaml")


def test_the_example_of_a_folder_is_an_experiment_that_plans(installed: Path, tmp_path: Path) -> None:
    _run(installed, tmp_path, "dcpipe", "init", "lab", "--example", "folder")
    plan = _run(installed, tmp_path / "lab", "dcpipe", "plan", "digit-photographs")
    assert "distill" in plan
    _run(installed, tmp_path / "lab", "dcpipe", "run", "digit-photographs", "--stages", "data")
    card = (tmp_path / "lab/artifacts/data/digit-photographs/card.json").read_text()
    assert '"classes"' in card


@pytest.mark.parametrize(
    ("there", "arguments", "refused"),
    [
        ("notes.txt", ["lab"], "lab: is not empty (notes.txt); name a new or an empty folder"),
        (
            "dcpipe.yaml",
            ["lab"],
            "lab: is a project already; use it, or refresh its profiles: `dcpipe init --update FOLDER`",
        ),
        ("notes.txt", ["lab", "--update"], "lab: is not a dcpipe project; make one: `dcpipe init FOLDER`"),
        ("notes.txt", ["lab/notes.txt"], "lab/notes.txt: is a file; name a folder"),
        ("notes.txt", ["new", "--example", "mnist"], "--example: there is no example 'mnist'; choose digits or folder"),
    ],
)
def test_a_folder_that_cannot_become_a_project_is_left_alone(
    there: str, arguments: list[str], refused: str, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / there).write_text("format: 1\n")
    assert refused in _run(installed, tmp_path, "dcpipe", "init", *arguments, ok=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["lab", there]


def test_a_project_that_was_not_finished_is_begun_again(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "git"
    stand_in.write_text("#!/bin/sh\necho no space left on device >&2\nexit 1\n")
    stand_in.chmod(0o755)
    search = f"PATH={tmp_path / 'bin'}:{BIN}:{os.environ['PATH']}"
    failed = _run(installed, tmp_path, "env", search, "dcpipe", "init", "lab", ok=False)
    assert "`git init --quiet` failed: no space left on device" in failed
    assert not (tmp_path / "lab/dcpipe.yaml").exists()
    assert "lab is a project" in _run(installed, tmp_path, "dcpipe", "init", "lab")
    assert not (tmp_path / "lab/.dcpipe/unfinished").exists()


def test_an_update_refreshes_the_profiles_alone(installed: Path, project: Path, tmp_path: Path) -> None:
    lab = Path(shutil.copytree(project / "lab", tmp_path / "lab", symlinks=True))
    (lab / "profiles/default/config.yaml").write_text("cores: 1\n")
    assert "wrote profiles/default/config.yaml" in _run(installed, tmp_path, "dcpipe", "init", "lab", "--update")
    assert _files(lab)["profiles/default/config.yaml"] == _files(ROOT)["profiles/default/config.yaml"]
    assert "up to date" in _run(installed, tmp_path, "dcpipe", "init", "lab", "--update")
