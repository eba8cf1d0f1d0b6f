"""Laws of dvc.yaml files: each job in one of them, wherever the experiments were exported first; DVC reads them all."""

import subprocess
from pathlib import Path

import pytest
import yaml

import repository
from clone import Clone
from dcpipe.engines import dvc_yaml
from dcpipe.engines.dvc_lock import LOADER
from dcpipe.errors import RefusedError, UserError
from dcpipe.params import params_files, strict_yaml
from dcpipe.workflow.graph import Graph

pytestmark = pytest.mark.slow

SHARING = ("digits-all", "digits-gradient", "ablations")


def stages(text: str) -> set[str]:
    return set(yaml.load(text, Loader=LOADER)["stages"])  # noqa: S506 (a safe one)


def jobs(root: Path, *experiments: str) -> set[str]:
    graph = Graph(root)
    return {job.name for name in experiments for job in graph.experiment_jobs(name) if not job.is_view}


def written(root: Path) -> dict[str, str]:
    files = [root / "dvc.yaml", *root.glob("experiments/*/dvc.yaml")]
    return {str(file.relative_to(root)): file.read_text() for file in files}


def test_every_job_of_all_experiments_is_in_one_file() -> None:
    names = params_files.available_names(repository.ROOT, "experiments")
    held = [stages(text) for text in dvc_yaml.expected_texts(Graph(repository.ROOT), names).values()]
    assert sum(map(len, held)) == len(set().union(*held))
    assert set().union(*held) == jobs(repository.ROOT, *names)


def test_the_defaults_file_here_holds_exactly_the_defaults_jobs() -> None:
    assert stages((repository.ROOT / "dvc.yaml").read_text()) == jobs(repository.ROOT, "digits")


def test_git_ignores_no_experiments_dvc_yaml() -> None:
    paths = [
        dvc_yaml.experiment_dvc_yaml(name) for name in params_files.available_names(repository.ROOT, "experiments")
    ]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=repository.ROOT, capture_output=True, check=False)
    assert done.returncode == 1, done.stdout


def test_git_tracks_the_default_experiments_files_alone() -> None:
    listed = ["git", "ls-files", "*dvc.yaml", "*dvc.lock"]
    done = subprocess.run(listed, cwd=repository.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dvc.lock", "dvc.yaml"]


@pytest.mark.parametrize("order", [SHARING, SHARING[::-1]])
def test_each_job_is_in_one_file_whatever_was_exported_first(root: Path, order: tuple[str, ...]) -> None:
    dvc_yaml.export_dvc_yaml(root)
    for number, name in enumerate(order, start=1):
        dvc_yaml.export_dvc_yaml(root, name)
        held = [stages(text) for text in written(root).values()]
        assert sum(map(len, held)) == len(set().union(*held))
        assert set().union(*held) == jobs(root, "digits", *order[:number])
    assert jobs(root, order[0]) - jobs(root, "digits") <= stages(
        (root / dvc_yaml.experiment_dvc_yaml(order[0])).read_text()
    )
    before = written(root)
    assert dvc_yaml.export_dvc_yaml(root) == []
    assert [dvc_yaml.export_dvc_yaml(root, name) for name in order] == [[], [], []]
    assert written(root) == before
    dvc_yaml.check_dvc_yaml(root)


def test_a_file_that_is_removed_leaves_its_jobs_to_the_others(root: Path) -> None:
    dvc_yaml.export_dvc_yaml(root)
    dvc_yaml.export_dvc_yaml(root, "digits-all")
    dvc_yaml.export_dvc_yaml(root, "ablations")
    shared = jobs(root, "digits-all") & jobs(root, "ablations") - jobs(root, "digits")
    assert len(shared) > 10
    assert shared.isdisjoint(stages((root / "experiments/ablations/dvc.yaml").read_text()))
    (root / "experiments/digits-all/dvc.yaml").unlink()
    with pytest.raises(RefusedError, match=r"experiments/ablations/dvc\.yaml: differs from params and graph"):
        dvc_yaml.check_dvc_yaml(root)
    assert dvc_yaml.export_untracked(Graph(root), "ablations") == ["experiments/ablations/dvc.yaml"]
    assert shared <= stages((root / "experiments/ablations/dvc.yaml").read_text())


def test_what_the_default_takes_up_leaves_the_other_files(root: Path) -> None:
    dvc_yaml.export_dvc_yaml(root)
    dvc_yaml.export_dvc_yaml(root, "tiny")
    runs = strict_yaml.read_yaml(root / "params/experiments/tiny.yaml")["runs"]
    repository.set_params(root, "experiments/digits.yaml", {"runs": runs})
    with pytest.raises(RefusedError, match=r"^dvc\.yaml: differs from params and graph"):
        dvc_yaml.bring_up_to_date(Graph(root), "digits")
    assert dvc_yaml.export_dvc_yaml(root) == ["dvc.yaml", "experiments/tiny/dvc.yaml"]
    assert stages((root / "experiments/tiny/dvc.yaml").read_text()) == {"metrics_tiny"}


def test_a_shared_stage_is_brought_up_to_date_in_the_file_that_has_it(root: Path) -> None:
    dvc_yaml.export_dvc_yaml(root)
    dvc_yaml.export_dvc_yaml(root, "digits-all")
    dvc_yaml.export_dvc_yaml(root, "ablations")
    file = root / "experiments/digits-all/dvc.yaml"
    right = file.read_text()
    shared = sorted(jobs(root, "digits-all") & jobs(root, "ablations") - jobs(root, "digits"))
    file.write_text(right.replace(f"logs/{shared[0].partition('_')[0]}/{shared[0]}.log", "logs/other.log"))
    assert file.read_text() != right
    assert dvc_yaml.export_untracked(Graph(root), "ablations") == ["experiments/digits-all/dvc.yaml"]
    assert file.read_text() == right


def test_the_file_of_a_removed_experiment_goes_and_its_lock_stays(root: Path) -> None:
    dvc_yaml.export_dvc_yaml(root)
    dvc_yaml.export_dvc_yaml(root, "tiny")
    (root / "experiments/tiny/dvc.lock").write_text("schema: '2.0'\n")
    by_hand = root / "experiments/notes/dvc.yaml"
    by_hand.parent.mkdir()
    by_hand.write_text("stages: {}\n")
    (root / "params/experiments/tiny.yaml").unlink()
    with pytest.raises(RefusedError, match=r"experiments/tiny/dvc\.yaml: belongs to no experiment"):
        dvc_yaml.check_dvc_yaml(root)
    assert dvc_yaml.export_dvc_yaml(root) == ["experiments/tiny/dvc.yaml"]
    assert (root / "experiments/tiny/dvc.lock").is_file()
    assert by_hand.is_file()
    dvc_yaml.check_dvc_yaml(root)


@pytest.mark.parametrize("text", ["[", "stages: [a]\n", "- a\n"])
def test_a_file_that_is_no_dvc_yaml_is_named(text: str, root: Path) -> None:
    (root / "experiments/digits-all").mkdir(parents=True)
    (root / "experiments/digits-all/dvc.yaml").write_text(text)
    with pytest.raises(UserError, match=r"digits-all/dvc\.yaml: is not a dvc\.yaml; restore it"):
        dvc_yaml.export_dvc_yaml(root, "tiny")


@pytest.mark.engines
@pytest.mark.xdist_group("engines")
def test_dvc_reads_the_files_of_experiments_that_share_jobs(tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone")
    for name in (*SHARING, "tiny"):
        assert f"wrote experiments/{name}/dvc.yaml" in clone.dcpipe("graph", "export", name).stdout
    for name in ("ablations", "tiny"):
        told = clone.run("dvc", "status", "--with-deps", dvc_yaml.experiment_dvc_yaml(name)).stdout
        found = {line[:-1].rpartition(":")[2] for line in told.splitlines() if line and not line.startswith("\t")}
        assert found == jobs(clone.path, name)
