"""Laws of the report's files: all of them or none, no leftovers, and none of an earlier report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.report import crate, figures, report_stage, views
from dcpipe.workflow.graph import Graph

FULL_DISK = """
import resource, sys
from pathlib import Path
from dcpipe.report import views
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
views.write_views({Path(name): bytes(size) for name, size in (("one", 10), ("folder/two", 2000), ("three", 10))})
"""


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_write_that_fails_leaves_the_files_of_before_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("of before")
    before = content(tmp_path)
    command = [sys.executable, "-c", FULL_DISK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "folder/two: cannot be written (File too large)" in done.stderr
    assert content(tmp_path) == before


def test_something_in_the_way_of_one_figure_leaves_the_whole_report_alone(root: Path) -> None:
    figure = next((root / "results/two/figures").glob("loss-*.pdf"))
    figure.unlink()
    figure.mkdir()
    before = content(root / "results")
    with pytest.raises(UserError, match=rf"{figure.name}: cannot be written \(Is a directory\)"):
        report_stage.run(Graph(root).make_job("report", experiment="two"), root)
    assert content(root / "results") == before


def test_files_of_an_earlier_report_go_and_a_users_own_stay(root: Path) -> None:
    folder = root / "results/two"
    own = folder / "figures/mine.svg"
    own.write_text("mine")
    experiment = root / "params/experiments/two.yaml"
    experiment.write_text(experiment.read_text().replace("[digits, digits-legacy-max]", "[digits]"))
    repository.make(root, "metrics", experiment="two")
    report_stage.run(Graph(root).make_job("report", experiment="two"), root)
    names = {path.relative_to(folder).as_posix() for path in content(folder)}
    assert not [name for name in names if "legacy-max" in name]
    document = json.loads((folder / crate.FILE).read_text())
    listed = {entity["@id"] for entity in document["@graph"] if entity["@type"] == "File"}
    assert names == {*listed, crate.FILE, "figures/mine.svg"}


def test_a_list_that_points_elsewhere_deletes_nothing(tmp_path: Path) -> None:
    names = ["../a", "/etc/b", "x/../../c", "figures/d.svg"]
    entities = [{"@id": name, "@type": "File"} for name in names]
    (tmp_path / crate.FILE).write_text(json.dumps({"@graph": entities}))
    assert views.listed_files(tmp_path / crate.FILE) == {tmp_path / "figures/d.svg"}
    for text in ("", "[]", "{}", '{"@graph": [{}]}'):
        (tmp_path / crate.FILE).write_text(text)
        assert views.listed_files(tmp_path / crate.FILE) == set()


def test_two_reports_have_the_same_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    job = Graph(root).make_job("report", experiment="two")
    report_stage.run(job, root)
    before = content(root / "results")
    report_stage.run(job, root)
    assert content(root / "results") == before
    assert len(before) > 20


@pytest.mark.slow
def test_help_plans_and_lists_need_none_of_the_extra() -> None:
    hidden = Path(repository.__file__).with_name("without.py")
    commands = ("dcpipe --help", "dcpipe plan tiny", "dcpipe methods", "dcpipe reproduce --list")
    done = subprocess.run(
        [sys.executable, hidden, " ".join(figures.EXTRA), *commands],
        cwd=repository.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0, 0, 0]


@pytest.mark.parametrize("package", figures.EXTRA)
def test_a_missing_package_gets_one_line_before_anything_is_read(tmp_path: Path, package: str) -> None:
    hidden = Path(repository.__file__).with_name("without.py")
    done = subprocess.run(
        [sys.executable, hidden, package, "dcpipe report tiny"],
        cwd=repository.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [2]
    (line,) = done.stderr.splitlines()
    assert f"report: the report needs {package}" in line
    assert "pip install 'dcpipe[report]'" in line
