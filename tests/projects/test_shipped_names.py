"""Names in a project: its own params come first, then the shipped ones; nothing shipped is replaced in silence."""

from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import params_files, resolve, shipped, shipped_copies
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import code_identity
from dcpipe.workflow.graph import Graph

MTT, DIGITS = "params/methods/mtt.yaml", "params/datasets/digits.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params/methods").mkdir(parents=True)
    (tmp_path / "params/datasets").mkdir()
    (tmp_path / shipped.MARKER).write_text("format: 1\n")
    return tmp_path


def _momentum(root: Path) -> tuple[object, str]:
    leaf = resolve.resolve_section(root, "methods", "mtt", context=("digits", "digits.ipc1")).leaves[
        "outer.images.optimiser.momentum"
    ]
    return leaf.value, leaf.origin.file


def _planned(root: Path) -> dict[str, tuple[object, ...]]:
    """Jobs by name; without the identity of their code, where each root has equivalences of its own."""
    jobs = Graph(root).experiment_jobs("tiny")
    params = {job.name: {file: keys for file, keys in job.params.items() if file != code_identity.FILE} for job in jobs}
    return {job.name: (params[job.name], job.command, job.inputs) for job in jobs}


def test_a_project_plans_what_the_source_tree_plans(project: Path) -> None:
    assert _planned(project) == _planned(repository.ROOT)


def test_shipped_names_are_listed_beside_a_projects_own(project: Path) -> None:
    (project / "params/methods/mine.yaml").write_text("base: mtt\n")
    assert set(params_files.available_names(project, "methods")) == {
        "mine",
        *params_files.available_names(repository.ROOT, "methods"),
    }
    (project / shipped.MARKER).unlink()
    assert params_files.available_names(project, "methods") == ["mine"]


def test_a_shipped_name_is_replaced_on_purpose_only(project: Path) -> None:
    text = (repository.ROOT / MTT).read_text()
    (project / MTT).write_text(text)
    assert _momentum(project) == _momentum(repository.ROOT)
    changed = text.replace("momentum: 0.5", "momentum: 0.25")
    assert changed != text
    (project / MTT).write_text(changed)
    with pytest.raises(UserError, match=rf"{MTT}: mtt is also shipped, with other values; write `base: mtt` to vary"):
        _momentum(project)
    (project / MTT).write_text(f"replaces: shipped\n{changed}")
    assert _momentum(project) == (0.25, MTT)


@pytest.mark.parametrize(("name", "value"), [("mine", "shipped"), ("mtt", "mine")])
def test_replacing_what_is_not_shipped_is_refused(name: str, value: str, project: Path) -> None:
    (project / f"params/methods/{name}.yaml").write_text(f"base: mtt\nreplaces: {value}\n")
    with pytest.raises(UserError, match=rf"methods/{name}.yaml: replaces: '{value}' is not possible here"):
        resolve.resolve_section(project, "methods", name)


def test_a_variant_may_have_the_name_of_what_it_varies(project: Path) -> None:
    (project / MTT).write_text("base: mtt\nouter: {images: {optimiser: {momentum: 0.25}}}\n")
    assert _momentum(project) == (0.25, MTT)
    leaves = resolve.resolve_section(project, "methods", "mtt").leaves
    assert leaves["matching.kind"].origin.file == "params/shipped/methods/mtt.yaml"
    (project / DIGITS).write_text("base: digits\nsplit: {seed: 7}\n")
    assert ParamsLibrary(project).method("mtt", "digits", 1)[0].leaves["outer.images.optimiser.momentum"].value == 0.25
    assert resolve.base_chain(project, "datasets", "digits") == ("digits",)


def test_dvc_gets_copies_which_a_newer_version_replaces(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_copies.write_copies(project, [MTT, "code_identity.yaml", "params/methods/mine.yaml"]) == [MTT]
    assert (project / MTT).read_bytes() == (repository.ROOT / MTT).read_bytes()
    assert shipped_copies.write_copies(project, [MTT]) == []
    newer = project.parent / "newer"
    repository.copy_params(newer)
    repository.set_params(newer, "methods/mtt.yaml", {"outer.images.optimiser.momentum": 0.125})
    monkeypatch.setattr(shipped, "shipped_folder", lambda: newer)
    assert (
        _momentum(project)[0]
        == resolve.resolve_section(newer, "methods", "mtt").leaves["outer.images.optimiser.momentum"].value
    )
    assert shipped_copies.write_copies(project, [MTT]) == [MTT]
    assert read_yaml(project / MTT) == read_yaml(newer / MTT)


def test_a_copy_that_was_edited_is_the_projects_own(project: Path) -> None:
    shipped_copies.write_copies(project, [MTT])
    text = (project / MTT).read_text()
    (project / MTT).write_text(text.replace("momentum: 0.5", "momentum: 0.25"))
    with pytest.raises(UserError, match="mtt is also shipped, with other values"):
        _momentum(project)
    assert shipped_copies.write_copies(project, [MTT]) == []
