"""Laws of importing published experts: bit for bit what the files hold, nothing in them runs, nothing is confused."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from dcpipe.commands import verify
from dcpipe.data import arrays
from dcpipe.errors import UserError
from dcpipe.experts.buffers import import_files
from dcpipe.models import convnet
from dcpipe.models.build import build
from dcpipe.models.convnet_network import ConvNetName
from dcpipe.provenance import staleness
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

REPOSITORY = Path(__file__).parents[2]
NOTHING = f"sha256:{0:064d}"
PUBLIC = "base: plain\ndescription: Published ones.\norigin: {{kind: imported, digest: '{digest}'}}\n{rest}"

Experts = list[list[list[Tensor]]]


def _network() -> nn.Module:
    return convnet.build(ConvNetName(2, width=32), channels=1, image_size=8, classes=10)


def _store(root: Path, experts: str, shard: int) -> Path:
    return root / f"artifacts/experts/tiny/{experts}/shard{shard}/trajectory.zarr"


def _checkpoint(theta_P: Tensor) -> list[Tensor]:
    """What the public code appends after an epoch."""
    network = _network()
    vector_to_parameters(theta_P, network.parameters())
    return [parameter.detach().cpu().clone() for parameter in network.parameters()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the data of tiny and its two experts, trained here. Read only."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(REPOSITORY / "params", root / "params")
    shutil.copy2(REPOSITORY / "constraints.txt", root)
    for job in Graph(root).experiment_jobs("tiny"):
        if job.stage in {"data", "experts"}:
            execute_job(job, root)
    return root


@pytest.fixture(scope="module")
def recorded(trained: Path) -> Experts:
    """The same experts as the public code holds them."""
    thetas = [torch.from_numpy(arrays.read(_store(trained, "plain", shard), "theta"))[0] for shard in range(2)]
    return [[_checkpoint(theta_P) for theta_P in theta_EP] for theta_EP in thetas]


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "root"))


def _save(folder: Path, name: str, experts: object, **how: bool) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(experts, folder / name, **how)
    return folder / name


def _pin(root: Path, digest: str = NOTHING, rest: str = "") -> None:
    (root / "params/experts/public.yaml").write_text(PUBLIC.format(digest=digest, rest=rest))


def _import(root: Path, files: list[Path], rest: str = "") -> dict[str, str]:
    """Pin what the refusal tells, then import. Returns what became of each shard."""
    _pin(root, rest=rest)
    with pytest.raises(UserError, match=r"^params/experts/public\.yaml: origin\.digest: the files have") as caught:
        list(import_files(Graph(root), "tiny", "public", files))
    _pin(root, str(caught.value).split("the digest ")[1].split(",")[0], rest)
    return {job.name: state for job, state in import_files(Graph(root), "tiny", "public", files)}


def _shard(root: Path, number: int) -> Job:
    return Graph(root).make_job("experts", dataset="tiny", experts="public", shard=number)


@pytest.fixture
def imported(root: Path, recorded: Experts) -> Path:
    """A root with both experts imported, from a file each; the second of the older form."""
    files = [
        _save(root / "files", "replay_buffer_10.pt", recorded[1:], _use_new_zipfile_serialization=False),
        _save(root / "files", "replay_buffer_2.pt", recorded[:1]),
    ]
    assert _import(root, files) == {f"experts_tiny_public_shard{shard}": "imported" for shard in range(2)}
    return root


def test_what_is_imported_is_what_was_recorded_bit_for_bit(imported: Path) -> None:
    for shard in range(2):
        ours, theirs = _store(imported, "plain", shard), _store(imported, "public", shard)
        for name in ("theta", "epochs"):
            assert np.array_equal(arrays.read(ours, name), arrays.read(theirs, name))
        for name in ("losses", "accuracies"):
            assert arrays.read(theirs, name).shape == arrays.read(ours, name).shape
            assert np.isnan(arrays.read(theirs, name)).all(), "not known, and not zero"


def test_imported_and_trained_experts_give_the_same_distilled_bytes(imported: Path) -> None:
    made = []
    for experts in ("plain", "public"):
        path = imported / "params/methods/mtt.yaml"
        path.write_text(path.read_text().replace("experts: plain", f"experts: {experts}"))
        job = Graph(imported).make_job("distill", dataset="tiny", method="mtt", ipc=1, set=0)
        execute_job(job, imported)
        made.append((imported / job.outputs["synthetic"]).read_bytes())
        assert job.inputs["trajectories"][0].startswith(f"artifacts/experts/tiny/{experts}/")
    assert made[0] == made[1]


def test_experts_are_numbered_through_files_and_only_kept_epochs_stored(root: Path, recorded: Experts) -> None:
    three = [recorded[1], recorded[0], recorded[1]]
    files = [_save(root / "files", "replay_buffer_0.pt", three[:2]), _save(root / "files", "buffer_1.pt", three[2:])]
    rest = "overrides: {tiny: {kept_epochs: '0-1,3', shard_experts: 3, count: 3, epochs: 3}}"
    assert _import(root, files[::-1], rest) == {"experts_tiny_public_shard0": "imported"}
    found = arrays.read(_store(root, "public", 0), "theta")
    assert arrays.read(_store(root, "public", 0), "epochs").tolist() == [0, 1, 3]
    plain = [arrays.read(_store(root, "plain", shard), "theta")[0, [0, 1, 3]] for shard in range(2)]
    assert np.array_equal(found, np.stack([plain[1], plain[1], plain[0]])), "buffer_1 comes before replay_buffer_0"


def test_a_present_shard_is_left_alone_and_a_missing_one_comes_back(imported: Path) -> None:
    files = sorted((imported / "files").iterdir())
    before = {path: path.read_bytes() for path in (imported / "artifacts").rglob("*") if path.is_file()}
    shutil.rmtree(imported / _shard(imported, 1).folder)
    states = [state for _, state in import_files(Graph(imported), "tiny", "public", files)]
    assert states == ["current", "imported"]
    assert {path: path.read_bytes() for path in (imported / "artifacts").rglob("*") if path.is_file()} == before


def test_imported_and_trained_are_never_taken_for_each_other(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCPIPE_DATA", str(imported / "nothing"))
    job = _shard(imported, 0)
    assert staleness.staleness_problem(job, imported) is None
    card = (imported / job.folder / "card.json").read_text()
    assert "replay_buffer_2.pt" in card
    assert str(imported) not in card
    assert not (imported / job.costs_path).exists(), "what training cost is not known"
    for act in (lambda: execute_job(job, imported), lambda: verify.rebuild_job(job, imported)):
        with pytest.raises(
            UserError, match=r"nothing/buffers/tiny/public: these experts are imported, and there is no "
        ):
            act()
    assert verify.verify_job(job, imported, {}).problem is None
    _pin(imported, NOTHING)
    assert "params/experts/public.yaml origin.digest" in str(staleness.staleness_problem(_shard(imported, 0), imported))
    (imported / "params/experts/public.yaml").write_text("base: plain\n")
    assert "other params" in str(staleness.staleness_problem(_shard(imported, 0), imported))
    with pytest.raises(UserError, match=r"^params/experts/plain\.yaml: origin\.kind: is not `imported`"):
        list(import_files(Graph(imported), "tiny", "public", sorted((imported / "files").iterdir())))


class _Crafted:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def _older(experts: object, path: Path) -> None:
    torch.save(experts, path, _use_new_zipfile_serialization=False)


def _read(path: Path) -> None:
    torch.load(path, weights_only=False)


# how a file is written, and how the public code, or anybody careless, reads it
FORMS: dict[str, tuple[Callable[[object, Path], object], Callable[[Path], object]]] = {
    "zip": (torch.save, _read),
    "older": (_older, _read),
    "pickle": (
        lambda experts, path: path.write_bytes(pickle.dumps(experts)),
        lambda path: np.load(path, allow_pickle=True),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_crafted_file_runs_nothing_and_is_refused_in_one_line(form: str, root: Path, recorded: Experts) -> None:
    mark, path = root / "it-ran", root / "replay_buffer_0.pt"
    write, read = FORMS[form]
    write([*recorded, _Crafted(mark)], path)
    told = _refusal(root, [path])
    assert not mark.exists()
    assert told == (
        f"{path}: is damaged, or contains something other than lists of tensors; no code in it was run; "
        "copy or download it again, or pass a file of tensors and lists alone"
    )
    read(path)
    assert mark.exists(), "it would have run"


def _refusal(root: Path, files: list[Path], rest: str = "") -> str:
    """What is said of files that are pinned as they are; nothing may be published."""
    with pytest.raises(UserError) as caught:
        _import(root, files, rest)
    assert not list((root / "artifacts/experts/tiny").glob("public/*/*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _with(experts: Experts, epoch: int, tensor: int, new: Callable[[Tensor], object]) -> Experts:
    """The same experts, but for one tensor of the second."""
    changed = [[list(tensors) for tensors in expert] for expert in experts]
    changed[1][epoch][tensor] = new(changed[1][epoch][tensor])
    return changed


def _alias(_: Experts) -> Experts:
    """What the public code saves on a CPU: views of the live network."""
    network, expert = _network(), []
    for _ in range(5):
        expert.append([parameter.detach().cpu() for parameter in network.parameters()])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1.0)
    return [expert, expert]


WHERE = "replay_buffer_0.pt: expert 1, checkpoint 2, tensor 0 (blocks.0.conv.weight): "
DAMAGED: dict[str, tuple[Callable[[Experts], object], str]] = {
    "another shape": (
        lambda e: _with(e, 2, 0, lambda t: t[:16]),
        WHERE + "has shape (16, 1, 3, 3); convnet2-w32 has (32, 1, 3, 3); ",
    ),
    "float64": (lambda e: _with(e, 2, 0, Tensor.double), WHERE + "is float64; experts must be float32; "),
    "a number": (lambda e: _with(e, 2, 0, Tensor.tolist), WHERE + "is not a tensor of numbers; "),
    "sparse": (lambda e: _with(e, 2, 0, Tensor.to_sparse), WHERE + "is not a tensor of numbers; "),
    "fewer tensors": (
        lambda e: [e[0], [tensors[1:] for tensors in e[1]]],
        "replay_buffer_0.pt: expert 1, checkpoint 0: has 9 tensors; convnet2-w32 has 10; ",
    ),
    "fewer epochs": (
        lambda e: [expert[:4] for expert in e],
        "replay_buffer_0.pt: expert 0: has 4 checkpoints; 4 epochs need 5; lower epochs",
    ),
    "fewer experts": (
        lambda e: e[:1],
        "params/experts/plain.yaml: overrides.tiny.count: is 2; the files contain 1 experts; ",
    ),
    "one live network": (_alias, "replay_buffer_0.pt: expert 0: its first and last checkpoints are equal, so no path "),
    "no list": (lambda e: {"experts": e}, "/replay_buffer_0.pt: is not a list of experts; "),
    "no checkpoints": (lambda e: [e[0][0][0]], "replay_buffer_0.pt: expert 0: is not a list of checkpoints; "),
    "no tensors": (lambda e: [e[0][0]], "replay_buffer_0.pt: expert 0, checkpoint 0: is not a list of tensors; "),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_not_as_the_params_say_is_refused_by_its_place(name: str, root: Path, recorded: Experts) -> None:
    damage, told = DAMAGED[name]
    path = _save(root / "files", "replay_buffer_0.pt", damage(recorded))
    assert told in _refusal(root, [path])


def test_values_that_are_not_finite_end_the_import_at_their_shard(root: Path, recorded: Experts) -> None:
    path = _save(root / "files", "replay_buffer_0.pt", _with(recorded, 2, 0, lambda tensor: tensor * torch.inf))
    with pytest.raises(UserError, match=r"^replay_buffer_0\.pt: expert 1 \(the first is 0\) has values"):
        _import(root, [path])
    assert staleness.staleness_problem(_shard(root, 0), root) is None, "the first shard is whole"
    assert not list((root / _shard(root, 1).folder).glob("*"))


def test_a_truncated_file_a_missing_one_and_one_given_twice_are_refused(root: Path, recorded: Experts) -> None:
    path = _save(root / "files", "replay_buffer_0.pt", recorded)
    for files, told in (
        ([path, path], r"^replay_buffer_0\.pt: two files have this name; "),
        ([path.with_name("replay_buffer_1.pt")], r"replay_buffer_1\.pt: this file does not exist; "),
    ):
        with pytest.raises(UserError, match=told):
            list(import_files(Graph(root), "tiny", "plain", files))
    path.write_bytes(path.read_bytes()[:-100])
    assert "replay_buffer_0.pt: is damaged, or contains something other" in _refusal(root, [path])
    path.write_bytes(b"")
    assert "replay_buffer_0.pt: is damaged, or contains something other" in _refusal(root, [path])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_memory_does_not_grow_with_the_number_of_files(root: Path) -> None:
    num_parameters, generator = 1_186_826, torch.Generator().manual_seed(0)
    shapes = [spec.shape for spec in build("convnet3-w256", channels=1, image_size=8, classes=10).layout]
    for number in range(12):
        experts = [[[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]]
        name = f"replay_buffer_{number}.pt"
        _save(root / "files", name, experts, _use_new_zipfile_serialization=bool(number % 2))
    script = Path(__file__).with_name("import_memory.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), "2", "12"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())
    assert many - few < 10 * (2 * 4 * num_parameters) / 2, "not even half of the ten files that were read more"


def test_the_code_that_counts_for_imported_experts_is_the_importer(root: Path) -> None:
    """A change of the training step leaves them alone, a change of the importer does not."""
    _pin(root)
    graph = Graph(root)
    imported = set(_shard(root, 0).modules)
    trained = set(graph.make_job("experts", dataset="tiny", experts="plain", shard=0).modules)
    assert "dcpipe.experts.buffers" in imported - trained
    assert {"dcpipe.experts.train", "dcpipe.experts.step"} <= trained - imported


def test_the_stage_takes_the_files_from_the_data_root_to_the_same_bytes(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an engine runs, after it removed what was imported by hand."""
    before = [_bytes(imported, shard) for shard in range(2)]
    place = imported / "data/buffers/tiny/public"
    shutil.copytree(imported / "files", place)
    monkeypatch.setenv("DCPIPE_DATA", str(imported / "data"))
    shutil.rmtree(imported / "artifacts/experts/tiny/public")
    for shard in range(2):
        execute_job(_shard(imported, shard), imported)
        assert verify.rebuild_job(_shard(imported, shard), imported).problem is None
    assert [_bytes(imported, shard) for shard in range(2)] == before
    (place / "replay_buffer_10.pt").unlink()
    with pytest.raises(UserError, match=r"buffers/tiny/public: the files have the digest sha256:\w+; params state"):
        execute_job(_shard(imported, 0), imported)


def _bytes(root: Path, shard: int) -> dict[str, bytes]:
    folder = root / _shard(root, shard).folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_shard_beyond_what_the_files_hold_is_refused(
    root: Path, recorded: Experts, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = root / "data/buffers/tiny/public"
    place.mkdir(parents=True)
    files = [_save(place, "replay_buffer_0.pt", recorded)]
    monkeypatch.setenv("DCPIPE_DATA", str(root / "data"))
    _import(root, files)
    pinned = (root / "params/experts/public.yaml").read_text()
    (root / "params/experts/public.yaml").write_text(pinned + "overrides: {tiny: {count: 4}}\n")
    with pytest.raises(
        UserError, match="the files contain 0 of the 1 experts of this shard; pass all files, or lower count"
    ):
        execute_job(_shard(root, 3), root)
