"""Laws of code identity: it moves with meaning and with nothing else, and a job names all the code it runs."""

import ast
import json
from pathlib import Path

import pytest
import yaml

import loaded_modules
import repository
from dcpipe.params.strict_yaml import parse_yaml
from dcpipe.provenance import code_identity, equivalences, source_modules
from dcpipe.provenance.source_modules import is_neutral, reached_modules, source_digest
from dcpipe.workflow.graph import Graph

pytestmark = pytest.mark.xdist_group("identity")  # one worker makes the module's fixture

SOURCE = '''
"""A module."""
import math

LIMIT = 0.5  # a remark


class Thing:
    """A class."""

    size: int = 3

    def grow(self, by: int = 1) -> int:
        """Grow."""
        return self.size + by if by else None


def root(x: float, *, twice=False) -> list:
    """The root."""
    return [math.sqrt(x), "text", b"bytes", True, 1]
'''
SAME = {
    "another docstring": ('"""The root."""', '"""Something\n    quite different."""'),
    "no docstring": ('    """A class."""\n', ""),
    "no module docstring": ('"""A module."""\n', ""),
    "no remark": ("  # a remark", ""),
    "a remark more": ("import math", "import math  # roots\n# of numbers"),
    "blank lines": ("\n\n\n", "\n"),
    "broken lines": ("[math.sqrt(x), ", "[\n        math.sqrt(\n            x\n        ),\n        "),
    "other quotes": ('"text"', "'text'"),
    "brackets": ("self.size + by if by else None", "((self.size + by) if (by) else (None))"),
    "another spelling of a number": ("0.5", "5e-1"),
}
OTHER = {
    "a constant": ("0.5", "0.25"),
    "an integer for a float": ("0.5", "1"),
    "a float of equal value": ("by: int = 1", "by: int = 1.0"),
    "a boolean of equal value": ("True, 1]", "1, 1]"),
    "a text": ('"text"', '"Text"'),
    "text for bytes": ('b"bytes"', '"bytes"'),
    "an operator": ("self.size + by", "self.size - by"),
    "a name": ("math.sqrt", "math.exp"),
    "the order of items": ("True, 1]", "1, True]"),
    "a default": ("twice=False", "twice=True"),
    "a keyword-only mark": ("*, twice", "twice"),
    "None for a number": ("else None", "else 0"),
    "a missing item": (', "text"', ""),
    "a class attribute": ("size: int = 3", "size: int = 4"),
}


def _changed(old: str, new: str) -> str:
    assert SOURCE.count(old) >= 1
    changed = SOURCE.replace(old, new, 1)
    ast.parse(changed)
    return changed


def test_what_alters_no_meaning_alters_no_digest() -> None:
    assert [name for name, change in SAME.items() if source_digest(_changed(*change)) != source_digest(SOURCE)] == []


def test_what_may_alter_a_number_gives_a_digest_of_its_own() -> None:
    of_digest = {source_digest(SOURCE): "no change"}
    for name, change in OTHER.items():
        first = of_digest.setdefault(source_digest(_changed(*change)), name)
        assert first == name, f"{name} has the digest of {first}"


def test_no_yaml_reader_takes_a_digest_for_a_number() -> None:
    found = code_identity.flat_leaves(code_identity.identity_tree(repository.ROOT))
    assert len(found) > 60
    for name, value in found.items():
        for readers in (yaml.safe_load(f"x: {value}"), parse_yaml(f"x: {value}", "here")):
            assert isinstance(readers["x"], str), name
    hexadecimal = ["0e12345678901234", "1234567890123456", "12e4567890123456", "0x12", "1_000"]
    assert all(isinstance(yaml.safe_load(f"x: h{text}")["x"], str) for text in hexadecimal)


def test_pins_are_those_of_the_constraints(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("torch==2.99.0\n# numpy==1\nzarr==3.0; python_version>'3'\npytest==9\n")
    assert code_identity.pinned_versions(tmp_path) == "torch 2.99.0, zarr 3.0"
    assert [text.split()[0] for text in code_identity.pinned_versions(repository.ROOT).split(", ")] == list(
        code_identity.PINNED
    )


def test_a_stale_file_is_told_key_by_key_and_refreshed(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("torch==1.0\n")
    assert "modules.data.arrays" in code_identity.update_file(tmp_path)
    assert code_identity.outdated_keys(tmp_path) == []
    (tmp_path / "constraints.txt").write_text("torch==2.0\n")
    text = (tmp_path / code_identity.FILE).read_text()
    (tmp_path / code_identity.FILE).write_text(text.replace("  arrays: h", "  arrays: habc"))
    assert code_identity.outdated_keys(tmp_path) == ["modules.data.arrays", "pins"]
    assert code_identity.update_file(tmp_path) == ["modules.data.arrays", "pins"]
    assert code_identity.update_file(tmp_path) == []


@pytest.fixture(scope="module")
def loaded(made: Path) -> dict[str, dict[str, list[str]]]:
    """The modules that each job really loads."""
    done = repository.child(made, loaded_modules.__file__, str(made))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_a_job_names_every_module_that_it_runs(
    loaded: dict[str, dict[str, list[str]]], root: Path, subtests: pytest.Subtests
) -> None:
    (root / equivalences.FILE).unlink(missing_ok=True)  # a recorded equivalence keeps older names
    for name, (stage, words) in loaded_modules.JOBS.items():
        with subtests.test(name=name):
            job = Graph(root).make_job(stage, **words)
            ran = {module for module in loaded[name]["run"] if not is_neutral(module)}
            really = {module for module in ran if not source_modules.is_empty(module)}
            assert any(module.endswith("_stage") for module in really)
            assert "dcpipe.workflow.task" in really
            assert really <= set(job.modules)
            keys = {source_modules.module_key(module) for module in job.modules}
            assert keys <= job.params[code_identity.FILE].keys()


@pytest.mark.slow
def test_a_job_names_little_that_it_does_not_load(loaded: dict[str, dict[str, list[str]]]) -> None:
    """Otherwise an edit would rerun what it cannot reach."""
    for name, (stage, words) in loaded_modules.JOBS.items():
        job = Graph(repository.ROOT).make_job(stage, **words)
        assert set(job.modules) - set(loaded[name]["loaded"]) == set(), name


def _modules(stage: str, **words: str | int) -> set[str]:
    return set(Graph(repository.ROOT).make_job(stage, **words).modules)


def test_a_job_reaches_only_what_its_resolved_composition_chooses(root: Path) -> None:
    exact, unrolled = (f"dcpipe.distillation.hypergradient.{kind}" for kind in ("exact", "unrolled"))
    mtt = _modules("distill", **repository.CELL)
    assert exact in mtt
    assert unrolled not in mtt, "editing the unrolled reference must not rerun mtt"
    assert not {name for name in _modules("distill", **{**repository.CELL, "method": "random"}) if "gradient" in name}
    repository.set_params(root, "methods/mtt.yaml", {"matching.hypergradient": {"kind": "unrolled"}})
    job = Graph(root).make_job("distill", **repository.CELL)
    assert unrolled in job.modules
    assert exact not in job.modules


def test_networks_and_sources_are_counted_only_where_they_are_used() -> None:
    assert "dcpipe.models.classic" not in _modules("distill", **repository.CELL)
    evaluated = _modules("evaluate", **repository.CELL, evaluation="digits", network="mlp")
    assert "dcpipe.models.classic" in evaluated
    assert "dcpipe.models.convnet" not in evaluated
    assert "dcpipe.data.digits" in _modules("data", dataset="tiny")
    assert "dcpipe.data.digits" not in evaluated


def test_what_only_watches_or_plans_is_in_no_identity() -> None:
    jobs = Graph(repository.ROOT).experiment_jobs("tiny")
    assert not [name for job in jobs for name in job.modules if is_neutral(name)]
    assert {"dcpipe.cli", "dcpipe.report.report_stage", "dcpipe.params.check"} <= {
        name
        for name in ("dcpipe.cli", "dcpipe.report.report_stage", "dcpipe.params.check", "dcpipe.models.sgd")
        if is_neutral(name)
    }
    assert not any(is_neutral(name) for name in ("dcpipe.models.sgd", "dcpipe.errorsome", "dcpipe.distillation.loop"))


def test_every_module_that_is_not_neutral_has_its_place_in_the_file() -> None:
    flat = code_identity.flat_leaves(code_identity.identity_tree(repository.ROOT))
    files = [path for path in source_modules.SOURCE.rglob("*.py")]
    names = {".".join(("dcpipe", *path.relative_to(source_modules.SOURCE).with_suffix("").parts)) for path in files}
    names = {name.removesuffix(".__init__") for name in names}
    keys = {source_modules.module_key(name) for name in names if not is_neutral(name)}
    assert keys == {name for name in flat if name.startswith("modules.")}
    assert reached_modules(("dcpipe.models.sgd",)) == ("dcpipe.models.sgd",)
