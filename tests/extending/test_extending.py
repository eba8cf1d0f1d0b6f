"""A magnitude, an optimiser's preset, a source and labels are added to a copy by new files alone, and work at once.

`added/` holds what a contributor writes: for each addition at most two files of code, a params file that uses it, and
the test of its law.
"""

import json
import shutil
from pathlib import Path

import pytest

import repository
from clone import Clone

pytestmark = pytest.mark.slow

ADDED = Path(__file__).parent / "added"
EXPERIMENT = """
title: Added
description: Sets by what was added.
runs:
  - datasets: [tiny]
    methods: [dc-l1, dc-adam, mtt-smoothed]
    ipc: [1]
    sets: 1
    evaluations: [digits]
    networks: [native]
  - {datasets: [photographs], methods: [dc-l1], ipc: [1], sets: 1, evaluations: [digits], networks: [native]}
"""
MADE = {  # by the folder of what it makes, the modules that it must be told apart by
    "synthetic/tiny/dc-l1/ipc1/set0": "distillation.distances.l1",
    "synthetic/tiny/dc-adam/ipc1/set0": "distillation.optimisers.adam_optimiser",
    "synthetic/tiny/mtt-smoothed/ipc1/set0": "distillation.labels.smoothed",
    "data/photographs": "data.photographs",
}


def test_each_addition_is_at_most_two_new_modules_beside_a_test() -> None:
    for addition in sorted(ADDED.iterdir()):
        files = [str(file.relative_to(addition)) for file in addition.rglob("*") if file.is_file()]
        files = [file for file in files if not file.endswith(".pyc")]
        assert not [file for file in files if (repository.ROOT / file).exists()], "edited"
        assert len([file for file in files if file.startswith("src/")]) <= 2, addition.name
        assert len([file for file in files if file.startswith("params/")]) == 1, addition.name
        (law,) = [file for file in files if file.startswith("tests/")]
        assert all(file.startswith(("src/", "params/", "tests/")) for file in files), law


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy with every addition, whose experiment has run. Only the last test edits it."""
    clone = Clone.make(tmp_path_factory.mktemp("extended") / "clone", {"DCPIPE_DEVICE": "cpu"})
    for addition in ADDED.iterdir():
        shutil.copytree(addition, clone.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (clone.path / "added.yaml").write_text(EXPERIMENT)
    clone.dcpipe("graph", "export")
    clone.dcpipe("run", "added.yaml")
    return clone


def test_additions_are_planned_and_shown(extended: Clone) -> None:
    assert "distill" in extended.dcpipe("plan", "added.yaml").stdout
    shown = extended.dcpipe("params", "show", "added.yaml", "--describe").stdout
    for kind in ('"l1"', '"adam"', '"smoothed"', '"photographs"'):
        assert kind in shown
    assert "# probability that all classes share evenly" in shown
    assert '"smoothed"' in extended.dcpipe("params", "schema", "methods").stdout


def test_additions_make_sets_and_stand_in_their_cards(extended: Clone) -> None:
    for folder, module in MADE.items():
        code = json.loads((extended.path / "artifacts" / folder / "card.json").read_text())["code"]
        assert f"modules.{module}" in code, folder
        assert not [name for name in code if name.endswith("_config")], folder
        others = {f"modules.{other}" for other in MADE.values() if other != module}
        assert not others & set(code), folder


def test_the_laws_of_additions_hold(extended: Clone) -> None:
    laws = [str(law.relative_to(folder)) for folder in ADDED.iterdir() for law in folder.rglob("test_*.py")]
    assert len(laws) == 4
    assert "4 passed" in extended.run("python", "-m", "pytest", "-q", "--noconftest", *laws).stdout


def stale(clone: Clone) -> set[str]:
    """The jobs that were made otherwise than the code says now."""
    lines = clone.dcpipe("status", "added.yaml", "--jobs").stdout.splitlines()
    return {line.split()[1].rstrip(":") for line in lines if line.startswith("stale ") and "_" in line}


def test_an_edited_config_strands_nothing_and_an_implementation_its_set(extended: Clone) -> None:
    assert stale(extended) == set()
    extended.edit(
        "src/dcpipe/distillation/labels/smoothed_config.py", "probability that all classes share evenly", "a share"
    )
    assert stale(extended) == set()
    extended.edit("src/dcpipe/distillation/labels/smoothed.py", "(1 - self._smoothing)", "(1.0 - self._smoothing)")
    found = stale(extended)
    assert "distill_tiny_mtt-smoothed_ipc1_set0" in found
    assert all("mtt-smoothed" in name for name in found - {"metrics_added"})
