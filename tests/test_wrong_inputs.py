"""Wrong inputs as a new user makes them: each one clear line (what, where, what to do), nothing half-written.

Exit code 2 is the user's mistake, 1 a failure.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

import repository
from dcpipe.workflow import environment, execution
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.state_folder import lock_file
from small_disk import fill, mounted

Edit = Callable[[Path], object]
DISTILL = "distill tiny mtt --ipc 1"
EVALUATE = "evaluate tiny mtt --ipc 1 --protocol digits"
SHARD = "artifacts/experts/tiny/plain/shard0"
SET = "artifacts/synthetic/tiny/mtt/ipc1/set0"
BIRDS = """
description: Birds.
source: {kind: folder, name: birds, classes: 2, channels: 3, image_size: 16, digest: null}
split: {seed: 0, test_per_class: null, validation_per_class: 0, train_per_class: null}
standardise: {kind: from-train}
whitening: {kind: none}
network: convnet2-w8
"""


def nothing(_root: Path) -> None:
    """The root as it is."""


def value(file: str, **values: object) -> Edit:
    """Another value; keys are written with __ for a dot."""
    return lambda root: repository.set_params(root, file, {key.replace("__", "."): v for key, v in values.items()})


def text(file: str, old: str, new: str) -> Edit:
    """Another text in a file of params/."""

    def edit(root: Path) -> None:
        path = root / "params" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return edit


def content(path: str, data: bytes) -> Edit:
    """A file with other content."""
    return lambda root: (root / path).write_bytes(data)


def flipped(root: Path) -> None:
    """One bit of a chunk of the recorded experts, none of their other bytes."""
    chunk = next(file for file in (root / SHARD / "trajectory.zarr/theta/c").rglob("*") if file.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)


def pickled_experts(root: Path) -> None:
    shutil.rmtree(root / SHARD / "trajectory.zarr")
    torch.save([torch.zeros(3)], root / SHARD / "trajectory.zarr")


def experts_of_another_dataset(root: Path) -> None:
    (root / "params/datasets/fewer.yaml").write_text("base: tiny\ndescription: Fewer.\nsplit: {train_per_class: 8}\n")
    graph = Graph(root)
    execute_job(graph.make_job("data", dataset="fewer"), root)
    execute_job(graph.make_job("experts", dataset="fewer", experts="plain", shard=0), root)
    shutil.rmtree(root / SHARD)
    shutil.copytree(root / "artifacts/experts/fewer/plain/shard0", root / SHARD)


def birds(*folders: str) -> Edit:
    """A dataset of one's own, and folders where it should be."""

    def edit(root: Path) -> None:
        (root / "params/datasets/birds.yaml").write_text(BIRDS)
        for folder in folders:
            (root / "own" / folder).mkdir(parents=True)

    return edit


def pickled_images(root: Path) -> None:
    birds("")(root)
    torch.save([torch.zeros(3)], root / "own/birds.npz")


def in_the_way(root: Path) -> None:
    shutil.rmtree(root / "artifacts/synthetic")
    (root / "artifacts/synthetic").write_text("mine")


def runs(**values: object) -> Edit:
    run = {"datasets": ["tiny"], "methods": ["mtt"], "ipc": [1], "sets": 1, "evaluations": ["digits"]}
    return value("experiments/tiny.yaml", runs=[{**run, "networks": ["native"], **values}])


OWN = {"DCPIPE_DATA": "own"}
TINY_MTT = "overrides__tiny__matching__"
Case = tuple[str, str, Edit, int, str, Mapping[str, str]]
"""Name, command, what is wrong, exit code, what is said (a pattern), environment."""
CASES: list[Case] = [
    ("missing experiment", "plan nothing", nothing, 2, r"no experiments file named 'nothing'; there are: .*tiny", {}),
    ("missing file", "run /nowhere/mine.yaml", nothing, 2, r"/nowhere/mine.yaml: cannot be read \(No such file", {}),
    ("not a repository", "plan tiny", lambda root: shutil.rmtree(root / "params"), 2, "dcpipe init FOLDER", {}),
    (
        "misspelt key",
        DISTILL,
        text("methods/mtt.yaml", "      inner_steps: 5\n", "      inner_step: 5\n"),
        2,
        r"mtt.yaml: unknown key overrides.tiny.matching.inner_step; did you mean matching.inner_steps\?",
        {},
    ),
    ("duplicate key", DISTILL, text("methods/mtt.yaml", "seed: 0", "seed: 0\nseed: 1"), 2, "line 4: duplicate", {}),
    ("negative ipc", "distill tiny mtt --ipc -1", nothing, 2, r"'--ipc': .*greater than or equal to 1", {}),
    ("negative ipc in a file", "plan tiny", runs(ipc=[-1]), 2, r"tiny.yaml: runs.0.ipc.0: .* 1 \(it is -1\)", {}),
    ("zero sets", "plan tiny", runs(sets=0), 2, r"tiny.yaml: runs.0.sets: .* 1 \(it is 0\)", {}),
    (
        "a segment past the last epoch",
        DISTILL,
        value("methods/mtt.yaml", **{f"{TINY_MTT}segment__max_start_epoch": 4}),
        2,
        "segments end at epoch 5, but experts train for 4 epochs; lower max_start_epoch",
        {},
    ),
    (
        "a start that was not kept",
        DISTILL,
        value("experts/plain.yaml", overrides__tiny__kept_epochs="0,2-4"),
        2,
        "epoch 1 is needed but not in kept_epochs; add it to kept_epochs in params/experts/plain.yaml",
        {},
    ),
    (
        "a waypoint that was never saved",
        "distill tiny mct --ipc 1",
        value("experts/plain.yaml", overrides__tiny__kept_epochs="0-1,3-4"),
        2,
        r"plain.yaml: overrides.tiny.kept_epochs: epoch 2 is needed by a convex path but not in kept_epochs; "
        r"add it to kept_epochs",
        {},
    ),
    (
        "a colour preset on grey images",
        "data tiny",
        value("datasets/tiny.yaml", standardise={"kind": "constants", "mean": [0.5] * 3, "std": [0.2] * 3}),
        2,
        "standardise.mean: has 3 values; images have 1 channel; write one value per channel, or kind: from-train",
        {},
    ),
    (
        "a corrupted chunk",
        DISTILL,
        flipped,
        1,
        r"shard0/trajectory.zarr/theta: does not read back .* `dvc checkout`",
        {},
    ),
    ("a corrupted card", DISTILL, content(f"{SHARD}/card.json", b"{"), 1, "card.json: is not a readable card; re", {}),
    ("an unknown method", "distill tiny mttt --ipc 1", nothing, 2, r"named 'mttt'; did you mean mtt\?", {}),
    ("an unknown stage", "run tiny --stages distil", nothing, 2, r"no stage 'distil'; did you mean distill\?", {}),
    ("an unknown network", f"{EVALUATE} --network convnt3", nothing, 2, r"no network 'convnt3' \(did you mean", {}),
    ("a network too deep", f"{EVALUATE} --network convnet5", nothing, 2, "take a depth of at most 3, or nopool", {}),
    ("an unknown row", "reproduce mt-cifar10-ipc1", nothing, 2, r"did you mean mtt-cifar10-ipc1\?", {}),
    (
        "no YAML",
        DISTILL,
        content("params/methods/mtt.yaml", b"a: [1, 2\nb: }"),
        2,
        "not valid YAML: line 2: .*correct",
        {},
    ),
    (
        "no text",
        DISTILL,
        content("params/methods/mtt.yaml", b"\xff\xfe\x00"),
        2,
        "mtt.yaml: cannot be read .*UTF-8",
        {},
    ),
    (
        "an empty file",
        DISTILL,
        content("params/methods/mtt.yaml", b""),
        2,
        "is not a mapping .* write `key: value`",
        {},
    ),
    (
        "a fraction for a count",
        DISTILL,
        value("methods/mtt.yaml", **{f"{TINY_MTT}inner_steps": 2.5}),
        2,
        r"overrides.tiny.matching.inner_steps: .* integer \(it is 2.5\)",
        {},
    ),
    (
        "a text for a number",
        DISTILL,
        value("methods/mtt.yaml", overrides__tiny__ipc1__outer__images__optimiser__learning_rate="fast"),
        2,
        r'learning_rate: .* number \(it is "fast"\)',
        {},
    ),
    (
        "an unknown augmentation",
        DISTILL,
        value("methods/mtt.yaml", **{"overrides__tiny": {"matching": {"augmentation": "colour"}}}),
        2,
        "'colour' is not an augmentation family; join some of color, crop",
        {},
    ),
    (".pt where Zarr belongs", DISTILL, pickled_experts, 2, "a file where a Zarr folder belongs; .*import-buffers", {}),
    (
        ".pt where safetensors belong",
        EVALUATE,
        content(f"{SET}/synthetic.safetensors", b"PK\x03\x04 a pickle in a zip file"),
        1,
        r"synthetic.safetensors: has \d+ bytes instead of \d+; remove \S+, then `dvc checkout` restores it",
        {},
    ),
    (
        ".pt where .npz belongs",
        "data birds",
        pickled_images,
        2,
        r"birds.npz: has no array train_images .*; add it",
        OWN,
    ),
    (
        "no such buffer",
        "import-buffers tiny plain no.pt",
        nothing,
        2,
        "no.pt: this file does not exist; pass replay_b",
        {},
    ),
    (
        "experts of another dataset",
        DISTILL,
        experts_of_another_dataset,
        2,
        "experts artifact of fewer plain 0; remove",
        {},
    ),
    (
        "experts of other params",
        DISTILL,
        value("experts/plain.yaml", overrides__tiny__batch=31),
        2,
        r"shard0: was made with other params \(.*overrides.tiny.batch: 32, now 31\); make it again with `dcpipe",
        {},
    ),
    ("more ipc than images", "distill tiny mtt --ipc 17", nothing, 2, "17 images per class are more.*at most 16", {}),
    (
        "a missing input",
        "distill tiny mtt --ipc 1 --set 3",
        lambda r: shutil.rmtree(r / SHARD),
        2,
        "does not exist; r",
        {},
    ),
    (
        "an empty dataset folder",
        "data birds",
        birds("birds"),
        2,
        "own/birds/train: this folder does not exist; add",
        OWN,
    ),
    ("no dataset folder", "data birds", birds("fish"), 2, "own/birds: this folder does not exist; put one fold", OWN),
    (
        "no place of data",
        "data birds",
        birds(),
        2,
        "data folder of this machine is not set; set DCPIPE_DATA",
        {},
    ),
    ("absent images", "reproduce mtt-cifar10-ipc1", nothing, 2, "own/cifar10: the images of cifar10 are missing", OWN),
    (
        "no validation part",
        "evaluate digits mtt --ipc 1 --protocol digits-val-best",
        nothing,
        2,
        "use a dataset var",
        {},
    ),
    (
        "no compiler",
        DISTILL,
        value("methods/mtt.yaml", compute__backend="compiled"),
        2,
        "compute.backend: the backend compiled needs a C.. compiler, .*; install one .* or write eager",
        {"CXX": "/nowhere/g++"},
    ),
    (
        "compiled without effect",
        "distill tiny random --ipc 1",
        value("methods/random.yaml", compute__backend="compiled"),
        2,
        "random.yaml: compute.backend: has no effect on a coreset; write eager",
        {},
    ),
    (
        "no such device",
        DISTILL,
        nothing,
        2,
        "DCPIPE_DEVICE: 'gpu' is not a device; write cpu",
        {"DCPIPE_DEVICE": "gpu"},
    ),
    ("too few devices", DISTILL, nothing, 2, "DCPIPE_DEVICE: cuda:99 is asked for, and", {"DCPIPE_DEVICE": "cuda:99"}),
    (
        "a loss that is not finite",
        DISTILL,
        value("methods/mtt.yaml", overrides__tiny__ipc1__outer__images__optimiser__learning_rate=1.0e30),
        1,
        "iteration 1: (matching loss|image gradient) is not finite; lower outer.images.optimiser.learning_rate",
        {},
    ),
    ("a file in the way", DISTILL, in_the_way, 2, r"cannot be written \(Not a directory\); remove what is in", {}),
    ("a log below a file", "data tiny --log constraints.txt/log", nothing, 2, "the log cannot be written .*--log", {}),
    (
        "a release of what has no scores",
        "release tiny mtt --ipc 1 --protocol digits --to out",
        lambda root: shutil.rmtree(root / "artifacts/scores"),
        1,
        "only current artifacts can be released: .*scores.json: does not exist; make it with `dcpipe evaluate tiny mtt",
        {},
    ),
    ("a release over a folder", "release tiny mtt --ipc 1 --protocol digits --to params", nothing, 2, "exists alr", {}),
    ("no artifact", "where nonsense", nothing, 2, "nonsense: no artifact has .*; pass a path under artifacts/", {}),
    ("a target of no stage", "verify tiny --rebuild results/x", nothing, 2, "no stage makes this path; name some", {}),
]


def problem(captured: str) -> str:
    """The one line of an answer."""
    assert "Traceback" not in captured
    (line,) = [line for line in captured.splitlines() if line.startswith("dcpipe: ")]
    assert captured.endswith(f"{line}\n")
    assert "this is a bug" not in line
    return line


@pytest.fixture
def answer(tiny: Path) -> Callable[[str], tuple[int, str]]:
    """Exit code and line of a command in this process, below `tiny`."""

    def run(command: str) -> tuple[int, str]:
        code, text = repository.dcpipe(tiny, *command.split())
        return code, problem(text)

    return run


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_one_line_an_exit_code_and_nothing_half_written(
    case: Case,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[str], tuple[int, str]],
) -> None:
    _, command, edit, code, said, environment = case
    monkeypatch.delenv("DCPIPE_DATA", raising=False)
    for key, word in environment.items():
        monkeypatch.setenv(key, word)
    edit(tiny)
    before = _below(tiny)
    found, line = answer(command)
    assert found == code, line
    assert re.search(said, line), line
    assert _below(tiny) == before


def _below(root: Path) -> dict[str, bytes | None]:
    """Everything of a root but states, which a stopped job keeps on purpose."""
    paths = [path for path in sorted(root.rglob("*")) if path.relative_to(root).parts[0] not in {"state", "logs"}]
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in paths}


def test_two_processes_on_one_job(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], tuple[int, str]]
) -> None:
    monkeypatch.setattr(execution, "WAIT_SECONDS", 0.3)
    path = lock_file(Graph(tiny).make_job("distill", **repository.CELL), tiny)
    path.write_text("4711")
    before = _below(tiny)
    with path.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        found, line = answer(DISTILL)
    assert found == 1
    assert (
        "distill_tiny_mtt_ipc1_set0: process 4711 is working on this job; wait until it has finished, or end it" in line
    )
    assert _below(tiny) == before


@pytest.mark.parametrize(("place", "kept"), [("artifacts/experts", 200), ("state", 12)])
def test_a_full_disk(tiny: Path, answer: Callable[[str], tuple[int, str]], place: str, kept: int) -> None:
    shutil.rmtree(tiny / "artifacts/experts")
    shutil.rmtree(tiny / "state", ignore_errors=True)
    with mounted(tiny / place, f"size={kept}k"):
        if place == "state":
            (tiny / "state/filled").write_bytes(bytes(kept * 1024 - 8192))
        found, line = answer("experts tiny plain --shard 0")
        assert (found, list((tiny / "artifacts/experts").rglob("*"))) == (1, [])
    assert f"/{place}" in line or f": {place}" in line
    assert "the disk is full; nothing was published; free some space, then start the same command again" in line


def test_costs_that_cannot_be_noted_leave_the_artifact_published(tiny: Path) -> None:
    shutil.rmtree(tiny / SET)
    shutil.rmtree(tiny / "costs")
    with mounted(tiny / "costs", "size=16k"):
        fill(tiny / "costs")
        found, told = repository.dcpipe(tiny, *DISTILL.split())
        assert [path.name for path in (tiny / "costs").iterdir()] == ["filled"]
    assert found == 0
    assert "costs/distill_tiny_mtt_ipc1_set0.json cannot be written (No space left on device)" in told
    assert f"{SET} is published all the same" in told
    assert (tiny / SET / "card.json").is_file()


def test_a_set_that_does_not_fit_is_said_to_be_too_large_for_the_disk(
    tiny: Path, answer: Callable[[str], tuple[int, str]]
) -> None:
    shutil.rmtree(tiny / SET)
    with mounted(tiny / SET, "size=16k"):
        fill(tiny / SET, 4096)
        found, line = answer(DISTILL)
        assert (found, [path.name for path in (tiny / SET).iterdir()]) == (1, ["filled"])
    assert "the disk is full; nothing was published; free some space, then start the same command again" in line


def test_a_release_onto_a_full_disk(tiny: Path, answer: Callable[[str], tuple[int, str]]) -> None:
    with mounted(tiny / "out", "size=16k"):
        found, line = answer("release tiny mtt --ipc 1 --protocol digits --to out/mine")
        assert (found, list((tiny / "out").iterdir())) == (2, [])
    assert "out/mine: cannot be written (No space left on device); no file was left there; free some disk space" in line


def test_no_write_permission(tiny: Path, answer: Callable[[str], tuple[int, str]]) -> None:
    shutil.rmtree(tiny / "artifacts/synthetic")
    with mounted(tiny / "artifacts/synthetic", "ro"):
        found, line = answer(DISTILL)
        assert found == 2
    assert re.search(r"artifacts/synthetic/.*: cannot be written \(Read-only file system\); remove what is in", line)


def _older_pythons() -> list[str]:
    names = (f"python3.{minor}" for minor in range(6, 11))
    found = [*filter(None, map(shutil.which, names)), *map(str, Path.home().glob(".pyenv/versions/3.*/bin/python3.?"))]
    return [
        path for path in found if subprocess.run([path, "-c", "0"], capture_output=True, check=False).returncode == 0
    ]


def test_a_python_below_3_11(tiny: Path) -> None:
    found = [path for path in _older_pythons() if not path.endswith(("3.11", "3.12", "3.13"))]
    if not found:
        pytest.skip("no older Python is installed here")
    environment = {**os.environ, "PYTHONPATH": str(repository.ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    for python in {found[0], found[-1]}:
        done = subprocess.run(
            [python, "-m", "dcpipe", "plan"], cwd=tiny, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "needs Python 3.11 or newer; this is 3." in problem(done.stderr)


def test_a_torch_that_is_too_old(tiny: Path) -> None:
    other = tiny / "other/torch-1.13.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.13.1\n")
    path = os.pathsep.join([str(other.parent), str(repository.ROOT / "src")])
    done = repository.child(tiny, "-m", "dcpipe", *DISTILL.split(), PYTHONPATH=path)
    assert done.returncode == 2
    assert "torch 1.13.1 is too old; pip install 'torch>=2.11'" in problem(done.stderr)


def test_no_torch(tiny: Path) -> None:
    done = repository.child(tiny, str(Path(__file__).with_name("without.py")), "torch", "dcpipe data tiny")
    assert done.stdout.endswith("[2]")
    assert "torch is not installed; pip install it, or run `make run`" in problem(done.stderr)


def test_the_oldest_torch_is_the_one_that_is_required() -> None:
    oldest = ".".join(map(str, environment.OLDEST_TORCH))
    assert f'"torch>={oldest}"' in (repository.ROOT / "pyproject.toml").read_text()
