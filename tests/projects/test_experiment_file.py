"""An experiment's file brings definitions along: where they go, and when two of one name are refused."""

from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import definitions, experiment_file, resolve
from dcpipe.workflow.graph import Graph

FILE = """title: Hot
description: A test.
presets: {mtt-hot: {base: mtt, description: A test., label: Hot, outer: {images: {optimiser: {momentum: 0.75}}}}}
runs:
  - {datasets: [tiny], methods: [mtt-hot], ipc: [1], sets: 1, evaluations: [digits], networks: [native]}
"""
OTHER = FILE.replace("0.75", "0.25")
PRESET = "params/methods/mtt-hot.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository.copy_params(tmp_path / "root")


def _write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def _install(root: Path, path: str) -> list[str]:
    return experiment_file.load_experiment(root, path).write_definitions()


def _momentum(root: Path) -> object:
    resolved = resolve.resolve_section(root, "methods", "mtt-hot", context=("tiny", "tiny.ipc1"))
    return resolved.leaves["outer.images.optimiser.momentum"].value


def test_what_is_written_is_what_was_planned(root: Path, tmp_path: Path) -> None:
    file = experiment_file.load_experiment(root, _write(tmp_path / "hot.yaml", FILE))
    planned = {job.name: (job.params, job.command) for job in Graph(root, file.inline_sections).experiment_jobs("hot")}
    assert file.write_definitions() == [PRESET, "params/experiments/hot.yaml"]
    assert {job.name: (job.params, job.command) for job in Graph(root).experiment_jobs("hot")} == planned
    assert experiment_file.load_experiment(root, str(tmp_path / "hot.yaml")).write_definitions() == []


def test_an_edited_file_replaces_what_it_wrote(root: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "hot.yaml", FILE)
    _install(root, path)
    _write(tmp_path / "hot.yaml", OTHER)
    assert experiment_file.load_experiment(root, path).inline_sections["methods"].keys() == {"mtt-hot"}
    assert _install(root, path) == [PRESET]
    assert _momentum(root) == 0.25


def test_two_files_may_differ_only_one_after_the_other(root: Path, tmp_path: Path) -> None:
    first, second = _write(tmp_path / "hot.yaml", FILE), _write(tmp_path / "b/hotter.yaml", OTHER)
    _install(root, first)
    before = repository.bytes_below(root)
    refused = rf"hotter\.yaml: presets\.mtt-hot: mtt-hot has another definition in {first} \(outer\.images\.optimiser"
    with pytest.raises(UserError, match=refused):
        experiment_file.load_experiment(root, second)
    assert repository.bytes_below(root) == before
    Path(first).unlink()
    _install(root, second)
    assert _momentum(root) == 0.25


@pytest.mark.parametrize("to", ["copy.yaml", "b/hot.yaml", "root/params/experiments/hot.yaml"])
def test_a_file_that_was_copied_or_moved_shares_what_it_defines(to: str, root: Path, tmp_path: Path) -> None:
    first = _write(tmp_path / "hot.yaml", FILE)
    _install(root, first)
    jobs = {job.name: job.params for job in Graph(root).experiment_jobs("hot") if "hot" in job.name}
    moved = _write(tmp_path / to, FILE)
    Path(first).unlink()
    file = experiment_file.load_experiment(root, moved)
    file.write_definitions()
    now = {job.name: job.params for job in Graph(root, file.inline_sections).experiment_jobs(file.name)}
    shared = {name for name in jobs if not name.startswith(("metrics", "report"))}
    assert {name: now[name] for name in shared} == {name: jobs[name] for name in shared}
    _write(tmp_path / to, OTHER)
    _install(root, moved)
    assert _momentum(root) == 0.25, "the source is the moved file now"


def test_what_a_person_edited_in_params_is_not_written_over(root: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "hot.yaml", FILE)
    _install(root, path)
    (root / PRESET).write_text((root / PRESET).read_text().replace("0.75", "0.5"))
    with pytest.raises(UserError, match=rf"mtt-hot has another definition in {PRESET}"):
        experiment_file.load_experiment(root, path)
    assert _momentum(root) == 0.5


def test_a_file_under_params_experiments_is_found_by_its_name(root: Path) -> None:
    _write(root / "params/experiments/hot.yaml", FILE)
    file = experiment_file.load_experiment(root, "hot")
    assert (file.name, [one.name for one in file.definitions]) == ("hot", ["mtt-hot"])
    assert file.write_definitions() == [PRESET]
    assert "distill_tiny_mtt-hot_ipc1_set0" in {job.name for job in Graph(root).experiment_jobs("hot")}


def test_an_index_that_cannot_be_read_is_named(root: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "hot.yaml", FILE)
    _install(root, path)
    (root / definitions.INDEX).write_text("{")
    _write(tmp_path / "hot.yaml", OTHER)
    with pytest.raises(UserError, match=r"\.dcpipe/sources\.json: cannot be read; remove it"):
        experiment_file.load_experiment(root, path)


def test_outside_of_a_project_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = _write(tmp_path / "hot.yaml", FILE)
    with pytest.raises(UserError, match=r"this folder is not a dcpipe project; .*`dcpipe init FOLDER`"):
        experiment_file.load_experiment(tmp_path, path)
