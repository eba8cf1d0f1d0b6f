"""No knob is silent: each value of a preset, changed alone, changes what is made, or planning refuses it."""

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import schema
from dcpipe.params.axis import AxisValue, axis_values_in
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.method import Method
from dcpipe.params.params_files import available_names
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.value_origin import ResolvedValue
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

LIBRARY = ParamsLibrary(repository.ROOT)
PRESETS = {
    name: LIBRARY.method(name, "tiny", 1)[0]
    for name in available_names(repository.ROOT, "methods")
    if LIBRARY.method(name, "tiny", 1)[1].outer
}

# axes whose values outside a preset's own matching are other methods, whatever is changed
NEVER = {("matching", kind) for kind in ("trajectory", "gradient", "distribution", "features")}
ON_PURPOSE = ("has no effect", "would have no label")
MEMORY_ALONE = "matching.hypergradient.kept_graphs"  # alters no byte, which is its law
ALTERNATIVES: dict[str, object] = {  # by key, or by preset and key
    "datm matching.segment.first_max_start_epoch": 1,
    "datm matching.segment.max_start_epoch": 4,
    "datm matching.segment.span_epochs": 2,
    "mct-span-1 matching.segment.span_epochs": 2,
    "satm-noise-none outer.sharpness.noise.scale": 0.1,
    "matching.distance.angle": 1.5,
    "matching.hypergradient.kept": "4/5",
    "matching.layer_weights": [0.1, 2.0, 1.0],
    "matching.levels.weight": 3.0,
    "matching.network": "convnet2-w16",
    "matching.path.waypoints": [3],
    "matching.segment.max_start_epoch": 1,
    "matching.segment.span_epochs": 1,
    "matching.training.at_most": 1,
    "matching.training.counts": [1, 3],
    "matching.training.real_batch": 2,
    "matching.updates.at_most": 1,
    "matching.updates.range": 0.0,
    "outer.averaging.decay": 0.9,
    "outer.labels.optimiser.momentum": 0.5,
    "outer.loss_threshold": 1e-3,
    "outer.sharpness.second_pass.steps": "1/5",
    "outer.step_size.largest_change": 1e-9,
    "matching.augmentation": "crop",
    "matching.inner_batch": 5,
    "matching.hypergradient.micro_batch": 3,
}


def _value_at(preset: str, key: str) -> AxisValue:
    """The value on an axis that stands at a dotted key of a preset."""
    return dict(axis_values_in(LIBRARY.method(preset, "tiny", 1)[1]))[key]


def _other_kinds(preset: str, section: str, place: str) -> list[dict[str, object]]:
    """Every other value of the axis, as its own example has it, with what it needs beside it."""
    here = _value_at(preset, section)
    kinds = [kind for kind in sorted(here.registry) if kind != here.kind and (section, kind) not in NEVER]
    examples = [here.registry[kind].examples()[kind] for kind in kinds]
    return [{place: dict(example.tree), **example.required_params} for example in examples]


def _is_elsewhere(key: str, change: dict[str, object]) -> bool:
    """Where the first images happen to be classified correctly this changes nothing: see test_label_knobs."""
    return key == "outer.images.initial" and {"kind": "correct"} in change.values()


def _changed_by_value(preset: str, key: str) -> list[object]:
    """What the value that a knob belongs to would have it changed to."""
    for section, value in axis_values_in(LIBRARY.method(preset, "tiny", 1)[1]):
        changes = type(value).examples()[value.kind].changes
        if key.removeprefix(f"{section}.") in changes and key.startswith(f"{section}."):
            return [changes[key.removeprefix(f"{section}.")]]
    return []


def _other_texts(preset: str, key: str) -> list[str]:
    """What else a knob may say, as the refusal of a word that means nothing tells it."""
    resolved = PRESETS[preset]
    leaf = resolved.leaves[key]
    wrong = {**resolved.leaves, key: ResolvedValue("zzz", leaf.origin, None)}
    with pytest.raises(UserError) as caught:
        schema.validate(ResolvedSection(wrong, resolved.file), Method)
    legal = re.findall(r"'([^']+)'", str(caught.value))
    assert leaf.value in legal
    return [value for value in legal if value != leaf.value]


def _changes(preset: str, key: str) -> list[dict[str, object]]:
    """Every change to try: a number by a factor that matters, a word to each other one."""
    leaf = PRESETS[preset].leaves[key]
    value = leaf.value
    if key == "matching.experts":
        values: list[object] = ["others"]
    elif key.endswith(".kind"):
        section, place = key.removesuffix(".kind"), leaf.origin.key.removesuffix(".kind")
        return _other_kinds(preset, section, place)
    elif key in dict(axis_values_in(LIBRARY.method(preset, "tiny", 1)[1])):  # a value that is written in short
        return [change for change in _other_kinds(preset, key, leaf.origin.key) if not _is_elsewhere(key, change)]
    elif key in ALTERNATIVES:
        values = [ALTERNATIVES.get(f"{preset} {key}", ALTERNATIVES[key])]
    elif f"{preset} {key}" in ALTERNATIVES:
        values = [ALTERNATIVES[f"{preset} {key}"]]
    elif _changed_by_value(preset, key):
        values = _changed_by_value(preset, key)
    elif isinstance(value, bool):
        values = [not value]
    elif isinstance(value, str):
        values = list[object](_other_texts(preset, key))
    else:
        assert isinstance(value, int | float)
        values = [value + 1 if isinstance(value, int) else value * 1.5]
    return [{leaf.origin.key: other} for other in values]


def _own(preset: str) -> list[str]:
    """The knobs whose values stand in the preset's own file; the rest, and other kinds, are tried with its base."""
    leaves, file = PRESETS[preset].leaves, f"params/methods/{preset}.yaml"
    own = [key for key in leaves if leaves[key].origin.file == file and key not in ("description", "label")]
    is_variant = bool(PRESETS[preset].bases)
    return [key for key in own if not (is_variant and key.endswith(".kind"))]


def _tried(preset: str) -> list[tuple[str, dict[str, object]]]:
    return [(key, change) for key in _own(preset) for change in _changes(preset, key)]


@pytest.fixture(scope="module")
def short(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's data and experts, other experts, and a preset of three iterations."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("knobs") / "root"))
    shutil.rmtree(root / "artifacts/synthetic")
    (root / "params/experts/others.yaml").write_text("base: plain\ndescription: The same by another name.\n")
    for shard in range(2):
        repository.make(root, "experts", dataset="tiny", experts="others", shard=shard)
    repository.set_params(root, "methods/mtt.yaml", {"overrides.tiny.outer": {"iterations": 3, "snapshot_every": 2}})
    return root


def _made(root: Path, preset: str, to: Path) -> dict[str, bytes]:
    words = {**repository.CELL, "method": preset}
    execute_job(repository.make_inputs(root, "distill", **words), root, folder=to)
    return {name: (to / name).read_bytes() for name in ("synthetic.safetensors", "snapshots.safetensors")}


@pytest.fixture(scope="module")
def unchanged(short: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What each preset makes as it is, made when it is first asked for."""
    return cache(lambda preset: _made(short, preset, tmp_path_factory.mktemp("unchanged")))


Unchanged = Callable[[str], dict[str, bytes]]


def _refuse_silence(
    preset: str, key: str, change: dict[str, object], short: Path, unchanged: Unchanged, to: Path
) -> None:
    """A knob changed alone must change the bytes, or be refused for a reason that says so."""
    path, before = short / f"params/methods/{preset}.yaml", unchanged(preset)
    text, refused, found = path.read_text(), "", {}
    try:
        repository.set_params(short, f"methods/{preset}.yaml", change)
        found = _made(short, preset, to)
    except UserError as refusal:
        refused = str(refusal)
    finally:
        path.write_text(text)
    if refused:
        assert any(words in refused for words in ON_PURPOSE), refused
        return
    if key == "compute.threads":
        return  # whether another number of threads rounds otherwise depends on the processor
    if key == MEMORY_ALONE:
        assert found == before
        return
    changed = found["snapshots.safetensors"] if key == "outer.snapshot_every" else found["synthetic.safetensors"]
    assert changed not in before.values()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_knob_changed_alone_changes_the_bytes_or_is_refused(
    preset: str, short: Path, unchanged: Unchanged, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for number, (key, change) in enumerate(_tried(preset)):
        if key != "compute.backend":
            with subtests.test(key=key, change=change):
                _refuse_silence(preset, key, change, short, unchanged, tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_step_changes_the_bytes_or_is_refused(
    short: Path, unchanged: Unchanged, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    tried = [(preset, key, change) for preset in PRESETS for key, change in _tried(preset) if key == "compute.backend"]
    for number, (preset, key, change) in enumerate(tried):
        with subtests.test(preset=preset):
            _refuse_silence(preset, key, change, short, unchanged, tmp_path / str(number))


EXPERTS = [
    ("seed", 1),
    ("network", "convnet2-w16"),
    ("overrides.tiny.shard_experts", 2),
    ("overrides.tiny.epochs", 5),
    ("overrides.tiny.kept_epochs", "0-3"),
    ("overrides.tiny.batch", 33),
    ("overrides.digits.learning_rate", 0.075),
    ("momentum", 0.5),
    ("weight_decay", 1e-4),
    ("overrides.digits.augmentation", "scale"),
    ("sharpness", {"kind": "gsam", "radius": 0.05, "alpha": 0.5, "adaptive": False}),
    ("store", {"codec": "none", "level": 0}),
    ("store.codec", "zstd"),
    ("store.level", 5),
    ("compute.threads", 2),
    ("compute.backend", "analytic"),
]
EVALUATIONS = [
    ("seed", 1),
    ("overrides.tiny.networks", 3),
    ("overrides.tiny.epochs", 30),
    ("batch", 3),
    ("learning_rate", {"kind": "fixed", "value": 0.01}),
    ("learning_rate", {"kind": "searched", "values": [0.001, 0.01]}),
    ("augmentation", "cutout"),
    ("sharpness", {"kind": "gsam", "radius": 0.05, "alpha": 0.0, "adaptive": True}),
    ("decay", 1.0),
    ("momentum", 0.0),
    ("weight_decay", 0.5),
    ("selection", "val-best"),
    ("selection", "legacy-max"),
]
DATASETS = [
    ("split.seed", 1),
    ("split.test_per_class", 25),
    ("split.validation_per_class", 9),
    ("split.train_per_class", 17),
    ("standardise", {"kind": "constants", "mean": [0.3], "std": [0.4]}),
]
ALL_STAGES = [
    *[("experts/plain.yaml", "experts", "trajectory.zarr", *change) for change in EXPERTS],
    *[("evaluations/digits.yaml", "evaluate", "scores.json", *change) for change in EVALUATIONS],
    *[("datasets/tiny.yaml", "data", "train.zarr", *change) for change in DATASETS[2:]],
    *[("datasets/tiny.yaml", "data", "test.zarr", *change) for change in DATASETS[:2]],
]
WORDS: dict[str, dict[str, str | int]] = {
    "data": {"dataset": "tiny"},
    "experts": {"dataset": "tiny", "experts": "plain", "shard": 0},
    "evaluate": {**repository.CELL, "evaluation": "digits", "network": "native"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "stage", "payload", "key", "value"), ALL_STAGES)
def test_nor_is_a_knob_of_data_experts_or_evaluations(
    file: str, stage: str, payload: str, key: str, value: object, tiny: Path
) -> None:
    job = Graph(tiny).make_job(stage, **WORDS[stage])
    before = repository.bytes_below(tiny / job.folder)
    repository.set_params(tiny, file, {key: value})
    repository.make(tiny, stage, **WORDS[stage])
    after = repository.bytes_below(tiny / job.folder)
    assert [after[name] for name in after if name.startswith(payload)] != [
        before[name] for name in before if name.startswith(payload)
    ]


WITHOUT_EFFECT = [
    ("methods/random.yaml", "distill", "compute.backend", "compiled", "has no effect on a coreset; write eager"),
    ("methods/random.yaml", "distill", "compute.threads", 2, "has no effect on a coreset; write 1"),
    (
        "experts/plain.yaml",
        "experts",
        "compute.backend",
        "compiled",
        "input should be 'eager' or 'analytic' (it is \"compiled\")",
    ),
    (
        "experts/plain.yaml",
        "experts",
        "store",
        {"codec": "none", "level": 3},
        "store.level: has no effect without a codec; write 0, or choose a codec",
    ),
    (
        "methods/mtt.yaml",
        "distill",
        "matching.inner_batch",
        10,
        "a batch size of the whole set (10 images) has no effect; write null, or a smaller number",
    ),
    (
        "methods/mtt.yaml",
        "distill",
        "matching.hypergradient.micro_batch",
        10,
        "a micro-batch of 10 has no effect: an inner step's batch has 10 images; write null, or a smaller number",
    ),
    (
        "evaluations/digits.yaml",
        "evaluate",
        "compute.backend",
        "compiled",
        "input should be 'eager' or 'analytic' (it is \"compiled\")",
    ),
]


@pytest.mark.parametrize(("file", "stage", "key", "value", "told"), WITHOUT_EFFECT)
def test_what_would_have_no_effect_is_refused(
    file: str, stage: str, key: str, value: object, told: str, root: Path
) -> None:
    repository.set_params(root, file, {key: value})
    words = {**WORDS, "distill": {**repository.CELL, "method": Path(file).stem}}[stage]
    with pytest.raises(UserError) as caught:
        Graph(root).make_job(stage, **words)
    told = told if told.startswith(f"{key}.") else f"{key}: {told}"
    assert str(caught.value) == f"params/{file}: {told}"


def test_a_micro_batch_is_measured_by_the_inner_batch(root: Path) -> None:
    smaller = {"matching.inner_batch": 4, "matching.hypergradient.micro_batch": 4}
    repository.set_params(root, "methods/mtt.yaml", smaller)
    with pytest.raises(UserError, match="an inner step's batch has 4 images; write null, or a smaller"):
        Graph(root).make_job("distill", **repository.CELL)
    repository.set_params(root, "methods/mtt.yaml", {"matching.hypergradient.micro_batch": 3})
    assert Graph(root).make_job("distill", **repository.CELL)
