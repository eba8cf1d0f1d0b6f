"""Sets leave in the layouts of others and come back bit for bit; other libraries read them."""

import shutil
from pathlib import Path

import pytest
import torch
from strangers import some_images

from dcpipe.commands.import_set import ImportOptions, import_set
from dcpipe.commands.release.export_set import export_set
from dcpipe.commands.release.huggingface_folder import CROISSANT, export_to_huggingface
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

WILDCARDS = {"dataset": "tiny", "method": "ours", "ipc": 2, "set": 0}


def made(root: Path, tmp_path: Path, *, soft: bool) -> Job:
    """A set with a step size that no decimal number is, and with classes or logits."""
    images, labels = some_images(root)
    logits = torch.randn(len(labels), 10, generator=torch.Generator().manual_seed(0))
    folder = tmp_path / "source"
    folder.mkdir()
    torch.save(images, folder / "images_best.pt")
    torch.save(logits if soft else labels, folder / "labels_best.pt")
    torch.save(torch.tensor(1 / 30), folder / "lr_best.pt")
    list(import_set(root, folder, "tiny", ImportOptions(name="ours", whitening="none")))
    return Graph(root).make_job("distill", **WILDCARDS)


def came_back(root: Path, path: Path, whitening: str | None = "none") -> SyntheticSet:
    """The set at a path, imported again."""
    step_size = 0.5 if "dc" in path.parts else None
    said = ImportOptions(name="back", whitening=whitening, step_size=step_size)
    list(import_set(root, path, "tiny", said))
    return synthetic_set.load(root / "artifacts/synthetic/tiny/back/ipc2/set0/synthetic.safetensors")


@pytest.mark.parametrize(
    ("layout", "soft"), [("mtt", False), ("datm", True), ("dc", False), ("npz", False), ("npz", True)]
)
def test_a_set_comes_back_bit_for_bit(root: Path, tmp_path: Path, layout: str, soft: bool) -> None:
    job = made(root, tmp_path, soft=soft)
    names = export_set(root, job, layout, tmp_path / layout)
    ours = synthetic_set.load(root / job.outputs["synthetic"])
    back = came_back(
        root, tmp_path / layout / next(name for name in names if "lr" not in name and "labels" not in name)
    )
    assert torch.equal(back.images_NCHW, ours.images_NCHW)
    assert torch.equal(back.labels, ours.labels)
    assert layout == "dc" or torch.equal(back.step_size, ours.step_size)


def test_labels_that_a_layout_has_no_place_for_are_refused(root: Path, tmp_path: Path) -> None:
    job = made(root, tmp_path, soft=True)
    with pytest.raises(UserError, match=r"the labels of this set are logits, and the layout mtt has classes; .* datm"):
        export_set(root, job, "mtt", tmp_path / "mtt")
    assert not (tmp_path / "mtt").exists()


def huggingface(root: Path, tmp_path: Path, *, soft: bool) -> Path:
    """A folder for `datasets`."""
    pytest.importorskip("pyarrow")
    execute_job(made(root, tmp_path, soft=soft), root)
    scored = Graph(root).make_job("evaluate", **WILDCARDS, evaluation="digits", network="native")
    execute_job(scored, root)
    folder = tmp_path / "huggingface"
    expected = export_to_huggingface(Graph(root), scored, folder)
    assert expected in (folder / "README.md").read_text()
    return folder


@pytest.mark.parametrize("soft", [False, True])
def test_the_parquet_file_alone_comes_back_bit_for_bit(root: Path, tmp_path: Path, soft: bool) -> None:
    folder = huggingface(root, tmp_path, soft=soft)
    (folder / "set.safetensors").unlink()
    ours = synthetic_set.load(root / "artifacts/synthetic/tiny/ours/ipc2/set0/synthetic.safetensors")
    back = came_back(root, folder)
    assert torch.equal(back.images_NCHW, ours.images_NCHW)
    assert torch.equal(back.labels, ours.labels)
    assert torch.equal(back.step_size, ours.step_size)


def test_datasets_load_it_and_what_they_save_comes_back(root: Path, tmp_path: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = huggingface(root, tmp_path, soft=False)
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    images, labels = some_images(root)
    numbers = rows.with_format("numpy")
    assert torch.equal(torch.from_numpy(numbers["tensor"][:]), images)
    assert numbers["label"][:].tolist() == labels.tolist()
    assert rows.features["label"].names == [str(number) for number in range(10)]
    assert rows[0]["image"].size == (8, 8)
    rows.save_to_disk(str(tmp_path / "saved"))
    (saved,) = [tmp_path / "saved"]
    step_size = ImportOptions(name="saved", whitening="none", step_size=0.5)
    list(import_set(root, saved, "tiny", step_size))
    back = synthetic_set.load(root / "artifacts/synthetic/tiny/saved/ipc2/set0/synthetic.safetensors")
    assert torch.equal(back.images_NCHW, images)


def test_croissants_own_validator_passes_and_reads_rows(root: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    folder = huggingface(root, tmp_path, soft=False)
    found = mlcroissant.Dataset(folder / CROISSANT)
    assert not found.metadata.ctx.issues.errors
    rows = list(found.records("train"))
    assert [row["train/label"] for row in rows] == some_images(root)[1].tolist()


def test_pyarrow_is_asked_for_where_it_is_missing(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    execute_job(made(root, tmp_path, soft=False), root)
    scored = Graph(root).make_job("evaluate", **WILDCARDS, evaluation="digits", network="native")
    execute_job(scored, root)
    with pytest.raises(UserError, match="pyarrow is needed to write parquet; pip install"):
        export_to_huggingface(Graph(root), scored, tmp_path / "to")
    (tmp_path / "rows").mkdir()
    shutil.copy(root / "constraints.txt", tmp_path / "rows/train.parquet")
    with pytest.raises(UserError, match="pyarrow is needed to read this file"):
        list(import_set(root, tmp_path / "rows", "tiny", ImportOptions(name="rows")))


def test_two_exports_of_a_set_are_the_same_bytes(root: Path, tmp_path: Path) -> None:
    job = made(root, tmp_path, soft=False)
    for layout in ("mtt", "npz"):
        folders = [tmp_path / f"{layout}{number}" for number in range(2)]
        for folder in folders:
            export_set(root, job, layout, folder)
        sums = [(folder / "SHA256SUMS").read_text() for folder in folders]
        assert sums[0] == sums[1]
