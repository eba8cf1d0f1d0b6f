"""Laws of the registry of stages, and of a stage that another package adds by two files of its own."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import repository
from clone import Clone
from dcpipe.data import arrays
from dcpipe.errors import RefusedError, UserError
from dcpipe.params.dataset import Dataset
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.stages import DATASET, IPC, STAGES, Payload, Plan, Registry, Stage, match_stage, wildcards

PLAN = '''
"""The plan of the count stage: how many images each class has."""

from dcpipe.workflow.stages import DATASET, Payload, Plan, Stage, register_stage


@register_stage
class CountStage(Stage):
    name = "count"
    label = "count_{dataset}"
    folder = "artifacts/counts/{dataset}"
    payloads = (Payload("counts", "counts.json", is_metrics=True),)
    wildcards = (DATASET,)
    implementation = "counting.count_stage"
    reads = ("data",)

    def plan(self, graph, words):
        return Plan(inputs={"train": (graph.make_job("data", **words).outputs["train"],)}, sections={"first": 0})

    def final_jobs(self, graph, experiment):
        names = {name for run in graph.library.experiment(experiment)[1].runs for name in run.datasets}
        return [{"dataset": name} for name in sorted(names)]
'''
IMPLEMENTATION = '''
"""Counts the training images of each class."""

import json

import numpy as np

from dcpipe.data import arrays


def run(task):
    labels = arrays.read(task.input("train"), "train/labels")
    found = np.bincount(labels) + task.section("first", int)
    task.output("counts").write_text(json.dumps(found.tolist()))
'''


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of installed packages: one that adds a stage."""
    place = tmp_path / "packages"
    files = {
        "counting/__init__.py": "",
        "counting/count_plan.py": PLAN,
        "counting/count_stage.py": IMPLEMENTATION,
        "counting_images-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: counting-images\nVersion: 1.0\n",
        "counting_images-1.0.dist-info/entry_points.txt": "[dcpipe.axes]\ncount = counting.count_plan\n",
    }
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def dcpipe(root: Path, packages: Path, *words: str, code: int = 0) -> str:
    """What a command says, with those packages installed."""
    search = f"{repository.ROOT / 'src'}:{packages}"
    done = repository.child(root, "-m", "dcpipe", *words, PYTHONPATH=search)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_stage_of_another_package_is_planned_and_made(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "root").mkdir()
    root = repository.copy_params(tmp_path / "root")
    told = dcpipe(root, packages, "run", "tiny", "--stages", "data,count")
    assert ["count", "1", "0"] in [line.split()[:3] for line in told.splitlines()]
    folder = root / "artifacts/counts/tiny"
    labels = arrays.read(root / "artifacts/data/tiny/train.zarr", "train/labels")
    assert json.loads((folder / "counts.json").read_text()) == np.bincount(labels).tolist()
    code = json.loads((folder / "card.json").read_text())["code"]
    assert {"modules.packages.counting.count_stage", "modules.data.arrays", "pins"} <= set(code)
    assert not any("plan" in name for name in code)

    plan, stage = packages / "counting/count_plan.py", packages / "counting/count_stage.py"
    plan.write_text(PLAN.replace("how many images each class has", "images per class"))
    assert "0 made, 2 current" in dcpipe(root, packages, "run", "tiny", "--stages", "data,count")
    stage.write_text(IMPLEMENTATION.replace("np.bincount(labels)", "2 * np.bincount(labels)"))
    assert "1 made, 1 current" in dcpipe(root, packages, "run", "tiny", "--stages", "data,count")
    dcpipe(root, packages, "make", "artifacts/counts/tiny")
    assert json.loads((folder / "counts.json").read_text()) == (2 * np.bincount(labels)).tolist()


@pytest.mark.slow
@pytest.mark.engines
def test_both_engines_have_the_stage_of_another_package(tmp_path: Path, packages: Path) -> None:
    place = tmp_path / "clone"
    clone = Clone.make(place, {"PYTHONPATH": f"{place / 'src'}:{packages}"})
    clone.dcpipe("graph", "export", "tiny")
    stages = read_yaml(place / "experiments/tiny/dvc.yaml")["stages"]
    assert stages["count_tiny"]["cmd"] == "dcpipe make artifacts/counts/tiny --log logs/count/count_tiny.log"
    assert stages["count_tiny"]["metrics"] == ["artifacts/counts/tiny/counts.json"]
    clone.snakemake("--cores", "1", "--", "artifacts/counts/tiny/counts.json")
    assert set(clone.finished()) == {"data_tiny", "count_tiny"}
    listed = clone.snakemake("--dry-run")
    words = {tuple(line.split()) for line in listed.stdout.splitlines()}
    assert ("distill", "4") in words
    assert not any(line[:1] == ("count",) for line in words)
    clone.edit("src/dcpipe/data/arrays.py", "def read(", "UNUSED = 1\n\n\ndef read(")
    assert "modules.data.arrays" in clone.snakemake("--dry-run", "--", "artifacts/counts/tiny/counts.json").stdout


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "root").mkdir()
    root = repository.copy_params(tmp_path / "root")
    (packages / "counting/count_plan.py").write_text("import nothing_of_this_name\n")
    told = dcpipe(root, packages, "plan", "tiny", code=2)
    assert told.count("\n") == 1
    assert "counting-images: counting.count_plan: cannot be imported (ModuleNotFoundError" in told


class Own(Stage):
    """A stage of a test."""

    name = "own"
    label = "own_{dataset}"
    folder = "artifacts/own/{dataset}"
    payloads = (Payload("own", "own.txt"),)
    wildcards = (DATASET,)
    implementation = "dcpipe.data.data_stage"
    reads: tuple[str, ...] = ()

    def plan(self, graph: Graph, words: Mapping[str, str]) -> Plan:
        return Plan(inputs={"train": (graph.make_job("data", **words).outputs["train"],)})


def own(name: str, *reads: str) -> Own:
    """A stage of that name."""
    stage = Own()
    stage.name, stage.reads = name, reads
    return stage


def test_each_stage_comes_after_all_that_it_reads() -> None:
    names = list(STAGES)
    assert names == ["data", "whiten", "experts", "convexify", "distill", "apply", "evaluate", "metrics", "report"]
    for name, stage in STAGES.items():
        assert set(stage.reads) <= set(names[: names.index(name)])
    registry = Registry()
    for stage in (own("c", "b"), own("b", "a"), own("a")):
        registry.add(stage)
    assert list(registry) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ((own("a"), own("a")), "two stages are named a"),
        ((own("a", "b"),), "there is no stage 'b'"),
        ((own("a", "b"), own("b", "a")), "in a circle"),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(stages: tuple[Stage, ...], told: str) -> None:
    registry = Registry()
    with pytest.raises(UserError, match=told):
        [registry.add(stage) for stage in stages] and list(registry)


def test_a_job_reads_only_artifacts_of_stages_that_its_stage_names() -> None:
    graph = Graph(repository.ROOT)
    assert graph._build_job(own("own", "data"), {"dataset": "tiny"}).input("train") == "artifacts/data/tiny/train.zarr"
    STAGES.add(stage := own("own"))
    try:
        STAGES._ordered = {**STAGES, "own": stage}
        with pytest.raises(RefusedError, match="add data to the reads of Own"):
            graph.make_job("own", dataset="tiny")
    finally:
        del STAGES._registered["own"], STAGES._ordered["own"]


@pytest.mark.parametrize("words", [{}, {"dataset": "tiny", "experts": "plain"}])
def test_a_job_with_other_wildcards_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(UserError, match="its wildcards are dataset"):
        Graph(repository.ROOT).make_job("data", **words)


def test_a_section_of_another_type_than_asked_for_is_refused() -> None:
    job = Graph(repository.ROOT).make_job("data", dataset="tiny")
    assert job.section("dataset", Dataset).network
    with pytest.raises(TypeError, match="the section dataset of data_tiny is Dataset, not int"):
        job.section("dataset", int)
    with pytest.raises(TypeError, match="the section nothing of data_tiny is NoneType"):
        job.section("nothing", str)


def test_every_output_is_matched_to_its_job_and_nothing_else_is() -> None:
    for job in Graph(repository.ROOT).experiment_jobs("digits-all"):
        for path in (*job.outputs.values(), str(job.folder), f"{job.folder}/"):
            assert match_stage(path) == (None if job.is_view else (job.stage, job.wildcards))
    assert match_stage("artifacts/synthetic/tiny/mtt/ipc0/set0") is None
    assert wildcards()[IPC.name] == IPC.regex


def test_plans_load_no_implementation_and_no_torch() -> None:
    code = "import sys; from dcpipe.workflow.stages import STAGES; list(STAGES); print(*sys.modules)"
    loaded = set(repository.child(repository.ROOT, "-c", code).stdout.split())
    assert {"dcpipe.distillation.distill_plan", "dcpipe.report.report_plan"} <= loaded
    assert loaded.isdisjoint({"torch", *(stage.implementation for stage in STAGES.values())})
