"""No knob is silent: each value of a preset, changed alone, changes what is made, or planning refuses it."""

import re
import shutil
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.execution import execute
from dcpipe.graph import Graph
from dcpipe.params import schema
from dcpipe.params.library import Library
from dcpipe.params.method import Method
from dcpipe.params.resolve import Leaf, Resolved

FILE = "methods/mtt.yaml"
RESOLVED = Library(repository.ROOT).method("mtt", "tiny", 1)[0]
KNOBS = [key for key in RESOLVED.leaves if key not in ("description", "label")]

# what else a section needs where its kind is another; every legal kind must stand here
SECTIONS: dict[tuple[str, str], dict[str, object]] = {
    ("matching", "none"): {
        "matching": {"kind": "none", "selection": "random", "step_size": 0.05},
        "outer": None,
        "overrides": {},
    },
    ("matching.hypergradient", "unrolled"): {"matching.hypergradient": {"kind": "unrolled"}},
    ("outer.step_size", "fixed"): {"outer.step_size": {"kind": "fixed", "initial": 0.05}, "overrides.digits": {}},
}
ALTERNATIVES: dict[str, object] = {"matching.inner_batch": 5, "matching.hypergradient.micro_batch": 3}


def _other_texts(key: str) -> list[str]:
    """What else a knob may say, as the refusal of a word that means nothing tells it."""
    leaf = RESOLVED.leaves[key]
    wrong = {**RESOLVED.leaves, key: Leaf("zzz", leaf.origin, None)}
    with pytest.raises(UserError) as caught:
        schema.validate(Resolved(wrong, RESOLVED.file), Method)
    legal = re.findall(r"'([^']+)'", str(caught.value))
    assert leaf.value in legal
    return [value for value in legal if value != leaf.value]


def _changes(key: str) -> list[dict[str, object]]:
    """Every change to try: a number by a factor that matters, a word to each other one."""
    leaf = RESOLVED.leaves[key]
    match leaf.value:
        case str() if key == "matching.experts":
            return [{leaf.origin.key: "others"}]
        case str() if key.endswith(".kind"):
            section = key.removesuffix(".kind")
            return [SECTIONS[section, kind] for kind in _other_texts(key)]
        case str():
            return [{leaf.origin.key: value} for value in _other_texts(key)]
        case int():
            return [{leaf.origin.key: leaf.value + 1}]
        case float():
            return [{leaf.origin.key: leaf.value * 1.5}]
    return [{leaf.origin.key: ALTERNATIVES[key]}]


def _tried() -> list[object]:
    tried = [(key, change) for key in KNOBS for change in _changes(key)]
    slow = [pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")]
    return [
        pytest.param(key, change, id=f"{key} {change}"[:70], marks=slow if key == "compute.backend" else ())
        for key, change in tried
    ]


@pytest.fixture(scope="module")
def short(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's data and experts, other experts, and a preset of three iterations."""
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("knobs") / "root"))
    shutil.rmtree(root / "artifacts/synthetic")
    (root / "params/experts/others.yaml").write_text("base: plain\ndescription: The same by another name.\n")
    for shard in range(2):
        repository.make(root, "experts", dataset="tiny", experts="others", shard=shard)
    repository.set_params(root, FILE, {"overrides.tiny.outer": {"iterations": 3, "snapshot_every": 2}})
    return root


def _made(root: Path, to: Path) -> dict[str, bytes]:
    execute(Graph(root).job("distill", **repository.CELL), root, folder=to)
    return {name: (to / name).read_bytes() for name in ("synthetic.safetensors", "snapshots.safetensors")}


@pytest.fixture(scope="module")
def unchanged(short: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return _made(short, tmp_path_factory.mktemp("unchanged"))


@pytest.mark.parametrize(("key", "change"), _tried())
def test_a_knob_changed_alone_changes_the_bytes_or_is_refused(
    key: str, change: dict[str, object], short: Path, unchanged: dict[str, bytes], tmp_path: Path
) -> None:
    path = short / "params" / FILE
    before = path.read_text()
    try:
        repository.set_params(short, FILE, change)
        found = _made(short, tmp_path)
    finally:
        path.write_text(before)
    changed = found["snapshots.safetensors"] if key == "outer.snapshot_every" else found["synthetic.safetensors"]
    assert changed not in unchanged.values()
