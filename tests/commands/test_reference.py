"""Laws of `dcpipe reference` and `verify --reference`: equal bytes agree, other ones are named, cards do not count."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import repository
from dcpipe.cli.verbs import app
from dcpipe.commands import reference
from dcpipe.commands.verify import dvc_md5
from dcpipe.engines import dvc_lock
from dcpipe.errors import RefusedError, UserError
from dcpipe.params.experiment_file import load_experiment
from dcpipe.provenance import artifact
from dcpipe.workflow.graph import Graph

SET = "artifacts/synthetic/tiny/mtt/ipc1/set0"
REFERENCES = sorted((repository.ROOT / reference.FOLDER).glob("*-digests.json"))


@pytest.fixture
def run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """`dcpipe` in a root with every artifact of the tiny experiment: exit code, and what it printed."""
    monkeypatch.chdir(tiny)

    def dcpipe(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words))
        return done.exit_code, done.output

    return dcpipe


def test_what_was_written_agrees_and_holds_payloads_alone(tiny: Path, run: Callable[..., tuple[int, str]]) -> None:
    assert run("reference", "tiny") == (0, "wrote benchmarks/results/tiny-digests.json: 12 jobs\n")
    file = tiny / "benchmarks/results/tiny-digests.json"
    jobs = [job for job in Graph(tiny).experiment_jobs("tiny") if not job.is_view]
    paths = {path for job in jobs for name, path in job.outputs.items() if name != "card"}
    assert set(reference.read_reference(file, "tiny").digests_by_path) == paths
    code, text = run("verify", "tiny", "--reference", str(file))
    assert (code, text) == (0, "12 of 12 artifacts have the right bytes\n")


def test_other_bytes_are_named_and_another_card_is_not(tiny: Path, run: Callable[..., tuple[int, str]]) -> None:
    run("reference", "tiny", "--to", "mine.json")
    folder = tiny / SET
    with artifact.draft_artifact(folder) as draft:
        for name in ("synthetic.safetensors", "snapshots.safetensors", "history.csv", "preview.png"):
            draft.path(name).write_bytes((folder / name).read_bytes())
        draft.publish({"stage": "distill", "class": json.loads((folder / "card.json").read_text())["class"]})
    assert run("verify", "tiny", "--reference", "mine.json")[0] == 0
    with artifact.draft_artifact(folder) as draft:
        for name in ("synthetic.safetensors", "snapshots.safetensors", "history.csv", "preview.png"):
            draft.path(name).write_bytes((folder / name).read_bytes() + b" " * (name == "history.csv"))
        draft.publish({"stage": "distill"})
    code, text = run("verify", "tiny", "--reference", "mine.json")
    assert code == 1
    assert text.splitlines()[0].startswith(
        f"distill_tiny_mtt_ipc1_set0: {SET}/history.csv: differs from the digest in mine.json; the reference was made"
    )
    assert text.splitlines()[-1] == "11 of 12 artifacts have the right bytes"


def test_a_lock_gives_the_digests_that_the_artifacts_give(made: Path, tmp_path: Path) -> None:
    root = repository.copy_params(tmp_path)
    stages = {}
    for job in Graph(made).experiment_jobs("tiny"):
        if not job.is_view:
            outs = [{"path": path, "md5": dvc_md5(made / path)} for path in job.outputs.values()]
            stages[job.name] = {"cmd": job.command, "outs": outs}
    (root / "dvc.yaml").write_text(json.dumps({"stages": {name: {"cmd": "x"} for name in stages}}))
    dvc_lock.write_lock(root / "dvc.lock", stages)
    told = [json.loads(reference.reference_text(place, "tiny"))["digests"] for place in (root, made)]
    assert told[0] == told[1]
    del stages["metrics_tiny"]
    dvc_lock.write_lock(root / "dvc.lock", stages)
    with pytest.raises(RefusedError, match=r"has no artifact and no entry in dvc\.lock"):
        reference.reference_text(root, "tiny")


def test_an_artifact_of_other_params_is_no_reference(tiny: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {"overrides.tiny.ipc1.outer.images.optimiser.learning_rate": 51.0})
    with pytest.raises(RefusedError, match="was made with other params"):
        reference.reference_text(tiny, "tiny")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("[", "does not contain reference digests"),
        (
            '{"format": 1, "experiment": "tiny", "note": "", "classes": [], "digests": [1]}',
            "does not contain reference digests",
        ),
        (
            '{"format": 2, "experiment": "tiny", "note": "", "classes": [], "digests": {}}',
            "has format 2; this dcpipe reads format 1",
        ),
        (
            '{"format": 1, "experiment": "digits", "note": "", "classes": [], "digests": {}}',
            "is the reference of digits, not of tiny",
        ),
    ],
)
def test_a_file_that_is_no_reference_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        reference.read_reference(file, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("file", REFERENCES, ids=lambda file: file.stem)
def test_a_committed_reference_names_the_jobs_of_its_experiment(file: Path) -> None:
    name = file.stem.removesuffix("-digests")
    beside = repository.ROOT / f"benchmarks/{name}.yaml"
    given = load_experiment(repository.ROOT, str(beside) if beside.is_file() else name)
    graph = Graph(repository.ROOT, given.inline_sections)
    jobs = [job for job in graph.experiment_jobs(name) if not job.is_view]
    paths = {path for job in jobs for output, path in job.outputs.items() if output != "card"}
    found = set(reference.read_reference(file, name).digests_by_path)
    assert len(found) > 10
    assert found <= paths  # a job that was added since has no reference
