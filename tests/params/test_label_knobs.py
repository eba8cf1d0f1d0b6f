"""No knob of the presets with soft labels is silent; what cannot work with them is refused when it is planned."""

import shutil
from pathlib import Path

import pytest
import yaml

import repository
from dcpipe.errors import UserError
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

LABELS, INITIAL, IMAGES, SEGMENT = "outer.labels", "outer.labels.initial", "outer.images.initial", "matching.segment"
TEACHER = "outer.labels.teacher"
Values = dict[str, object]


def one_expert(expert: int) -> Values:
    return {INITIAL: {"kind": "one-expert", "expert": expert}}


def one_hot(logit: float) -> Values:
    return {INITIAL: {"kind": "one-hot", "logit": logit}}


def checkpoint(expert: int, epoch: int) -> Values:
    return {TEACHER: {"kind": "checkpoint", "expert": expert, "epoch": epoch}}


# preset, knob, what the preset says before and after: only kinds within kinds and what they have, because the rest is
# tried with all presets; sections that name a kind are replaced
KNOBS: list[tuple[str, str, Values, Values]] = [
    ("datm", IMAGES, one_hot(3.0), {**one_hot(3.0), IMAGES: "real"}),
    ("datm", f"{LABELS}.kind", {}, {LABELS: {"kind": "hard"}}),
    ("datm", f"{LABELS}.kind", {}, {LABELS: {"kind": "teacher", "teacher": {"kind": "segment-target"}}}),
    ("datm", f"{INITIAL}.kind", {}, one_expert(0)),
    ("datm", f"{INITIAL}.kind", {}, one_hot(3.0)),
    ("datm", f"{INITIAL}.expert", one_expert(0), one_expert(1)),
    ("datm", f"{INITIAL}.logit", one_hot(3.0), one_hot(4.0)),
    ("tesla-soft", f"{LABELS}.kind", {}, {LABELS: {"kind": "hard"}}),
    ("tesla-soft", f"{TEACHER}.kind", {}, checkpoint(0, 3)),
    ("tesla-soft", f"{TEACHER}.expert", checkpoint(0, 3), checkpoint(1, 3)),
    ("tesla-soft", f"{TEACHER}.epoch", checkpoint(0, 3), checkpoint(0, 4)),
]
OF_OTHER_KINDS = {IMAGES, f"{INITIAL}.expert", f"{INITIAL}.logit", f"{TEACHER}.expert", f"{TEACHER}.epoch"}


def _say(root: Path, preset: str, values: Values) -> None:
    """The committed preset, saying other things for tiny, where it makes only three iterations."""
    path = root / f"params/methods/{preset}.yaml"
    tree = read_yaml(repository.ROOT / f"params/methods/{preset}.yaml")
    for key, value in {"outer.iterations": 3, **values}.items():
        *parents, last = f"overrides.tiny.{key}".split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def _job(root: Path, preset: str) -> object:
    return Graph(root).make_job("distill", dataset="tiny", method=preset, ipc=1, set=0)


@pytest.fixture(scope="module")
def learnt(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's data and experts."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("knobs") / "root"))
    shutil.rmtree(root / "artifacts/synthetic")
    return root


def _made(root: Path, preset: str, values: Values, to: Path) -> bytes:
    _say(root, preset, values)
    execute_job(_job(root, preset), root, folder=to)
    return (to / "synthetic.safetensors").read_bytes()


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    """What was made before, by preset and values."""
    return {}


@pytest.mark.parametrize("preset", ["datm", "tesla-soft"])
def test_every_kind_of_label_that_a_preset_names_is_tried_against_another(preset: str) -> None:
    leaves = ParamsLibrary(repository.ROOT).method(preset, "tiny", 1)[0].leaves
    there = {key for key in leaves if key.startswith(LABELS) and key.endswith(".kind") and "optimiser" not in key}
    assert there == {key for name, key, _, _ in KNOBS if name == preset} - OF_OTHER_KINDS


@pytest.mark.parametrize(("preset", "key", "given", "changed"), KNOBS, ids=lambda value: str(value)[:40])
def test_a_knob_changed_alone_changes_the_bytes(
    preset: str, key: str, given: Values, changed: Values, learnt: Path, known: dict[str, bytes], tmp_path: Path
) -> None:
    name = f"{preset} {given}"
    if name not in known:
        known[name] = _made(learnt, preset, given, tmp_path / "before")
    assert _made(learnt, preset, changed, tmp_path / "after") != known[name], key


REFUSED: dict[str, tuple[str, Values, str]] = {
    "learned labels that stay": (
        "datm",
        {f"{LABELS}.optimiser.learning_rate": 0.0},
        "params/methods/datm.yaml: overrides.tiny.outer.labels.optimiser.learning_rate: "
        "a learning rate of 0 learns nothing; "
        "raise it, or write outer.labels.kind: fixed",
    ),
    "learning hard labels": (
        "datm",
        one_hot(200.0),
        "params/methods/datm.yaml: outer.labels.optimiser.learning_rate: "
        "has no effect: a logit of 200.0 is a hard label, which "
        "has no derivative; lower outer.labels.initial.logit, or write outer.labels.kind: hard",
    ),
    "labels by experts that are right, of images that none may know": (
        "datm",
        {IMAGES: "real"},
        "params/methods/datm.yaml: outer.labels.initial.kind: an image that no expert classifies correctly would have "
        "no label; write outer.images.initial: correct, or another kind here",
    ),
    "an expert that is not there": (
        "datm",
        one_expert(2),
        "params/methods/datm.yaml: overrides.tiny.outer.labels.initial.expert: there is no expert 2: there are 2, "
        "counted from 0; write at most 1",
    ),
    "a teacher that is not there": (
        "tesla-soft",
        checkpoint(7, 3),
        "params/methods/tesla-soft.yaml: overrides.tiny.outer.labels.teacher.expert: there is no expert 7: there are "
        "2, counted from 0; write at most 1",
    ),
    "a teacher's epoch that is not kept": (
        "tesla-soft",
        checkpoint(0, 5),
        "params/methods/tesla-soft.yaml: overrides.tiny.outer.labels.teacher.epoch: "
        "epoch 5 is needed but not in kept_epochs; "
        "name one of 0, 1, 2, 3, 4",
    ),
    "a range that grows for longer than the run": (
        "datm",
        {f"{SEGMENT}.growth_iterations": 9},
        "params/methods/datm.yaml: overrides.tiny.matching.segment.growth_iterations: the range would still grow after "
        "the last of 3 iterations; write at most 3",
    ),
    "a range that does not grow": (
        "datm",
        {f"{SEGMENT}.first_max_start_epoch": 3},
        "params/methods/datm.yaml: matching.segment: min_start_epoch, first_max_start_epoch and max_start_epoch must "
        "increase; else write kind: fixed",
    ),
    "a growing range past the last epoch": (
        "datm",
        {f"{SEGMENT}.max_start_epoch": 5},
        "params/methods/datm.yaml: overrides.tiny.matching.segment.max_start_epoch: segments end at epoch 5, but "
        "experts train for 4 epochs; "
        "lower max_start_epoch or span_epochs, or raise epochs in params/experts/plain.yaml",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_when_it_is_planned(name: str, root: Path) -> None:
    preset, values, told = REFUSED[name]
    _say(root, preset, values)
    with pytest.raises(UserError) as caught:
        _job(root, preset)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("outer.labels", {"kind": "teacher", "teacher": {"kind": "segment-target"}}, "outer.labels.kind: teacher"),
        ("outer.images.initial", "correct", "outer.images.initial: correct"),
    ],
)
def test_a_matching_without_experts_has_none_to_ask(key: str, value: object, told: str, root: Path) -> None:
    repository.set_params(root, "methods/dc.yaml", {key: value})
    with pytest.raises(UserError) as caught:
        _job(root, "dc")
    assert str(caught.value).startswith(
        f"params/methods/dc.yaml: {told} has no effect here: it needs experts, which gradient matching does not have; "
    )


@pytest.mark.parametrize("preset", ["datm", "tesla-soft"])
def test_experts_with_batch_norm_look_at_no_images(preset: str, root: Path) -> None:
    repository.set_params(root, "experts/plain.yaml", {"network": "convnet2-w16-batch"})
    with pytest.raises(UserError, match="convnet2-w16-batch has batch norm, and segments hold no running statistics"):
        _job(root, preset)
