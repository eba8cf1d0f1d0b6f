"""Sets that came from elsewhere: bits are kept, statements are compared with pixels, nothing wrong gets in."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from strangers import some_images
from torch import Tensor

from dcpipe.commands.import_set import ImportOptions, import_set
from dcpipe.data import store
from dcpipe.data.foreign.set_layouts import read_sets
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.report.cells import gather_cells
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph

EXPERIMENT = """
title: Theirs
description: A set from elsewhere beside random images.
runs:
  - datasets: [tiny]
    methods: [random, theirs]
    ipc: [2]
    sets: 1
    evaluations: [digits]
    networks: [native]
"""


def save_mtt(folder: Path, images: Tensor, labels: Tensor, step_size: float | None = 0.03) -> Path:
    """As the trajectory-matching codes save a set."""
    folder.mkdir(parents=True)
    torch.save(images, folder / "images_best.pt")
    torch.save(labels, folder / "labels_best.pt")
    if step_size is not None:
        torch.save(torch.tensor(step_size), folder / "lr_best.pt")
    return folder / "images_best.pt"


def imported(root: Path, path: Path, dataset: str = "tiny", index: int = 0, **said: object) -> SyntheticSet:
    """The artifact of a set, imported as `theirs`."""
    list(import_set(root, path, dataset, ImportOptions(name="theirs", **said)))
    (found,) = root.glob(f"artifacts/synthetic/{dataset}/theirs/ipc*/set{index}/synthetic.safetensors")
    return synthetic_set.load(found)


def test_tensors_of_the_public_codes_come_in_bit_for_bit(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    found = imported(root, save_mtt(tmp_path / "mtt", images, labels), whitening="none")
    assert torch.equal(found.images_NCHW, images)
    assert torch.equal(found.labels, labels)
    assert float(found.step_size) == float(torch.tensor(0.03))


def test_soft_labels_and_a_logarithmic_step_size_come_in(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    logits = torch.randn(len(labels), 10, generator=torch.Generator().manual_seed(0))
    path = save_mtt(tmp_path / "datm", images, logits, step_size=-3.5)
    with pytest.raises(UserError, match=r"the step size in the files is -3.5; add --log-step-size"):
        imported(root, path, whitening="none")
    found = imported(root, path, whitening="none", is_logarithm=True)
    assert torch.equal(found.labels, logits)
    assert float(found.step_size) == math.exp(-3.5)


def test_probabilities_become_logits_of_the_same_softmax(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    probabilities = torch.nn.functional.one_hot(labels, 10) * 0.9 + 0.01
    found = imported(root, save_mtt(tmp_path / "soft", images, probabilities), whitening="none")
    torch.testing.assert_close(found.targets, probabilities)


def test_every_experiment_of_a_dc_file_is_a_set(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    path = tmp_path / "res_DC_tiny_ConvNet_2ipc.pt"
    accuracies = {"ConvNet": [0.5, 0.7]}
    torch.save({"data": [[images, labels], [images + 0.01, labels]], "accs_all_exps": accuracies}, path)
    second = imported(root, path, index=1, whitening="none")
    assert torch.equal(second.images_NCHW, images + 0.01)
    card = json.loads((root / "artifacts/synthetic/tiny/theirs/ipc2/set1/card.json").read_text())
    assert card["facts"]["imported"]["claims_of_files"] == {"accuracy of ConvNet": pytest.approx(60.0)}
    with pytest.raises(UserError, match=r"holds 2 sets; set 2 is asked for; write sets: 2"):
        execute_job(Graph(root).make_job("distill", dataset="tiny", method="theirs", ipc=2, set=2), root)


def pixels_of(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two images per class as they are stored: uint8."""
    stored = store.load_pixels(root / "artifacts/data/tiny/train.zarr", "train")
    rows = torch.cat([torch.nonzero(stored.labels_N == label).flatten()[:2] for label in range(10)])
    return stored.pixels_NCHW[rows].numpy(), stored.labels_N[rows].numpy()


@pytest.mark.parametrize("dataset", ["tiny", "tiny-zca"])
@pytest.mark.parametrize("layout", ["npz", "folder", "imagefolder"])
def test_pixels_are_prepared_as_the_datasets_own(root: Path, tmp_path: Path, layout: str, dataset: str) -> None:
    pixels, labels = pixels_of(root)
    path = tmp_path / "pixels"
    if layout == "npz":
        np.savez(path.with_suffix(".npz"), images=pixels[:, 0], labels=labels)
        path = path.with_suffix(".npz")
    else:
        rows = ["file_name,label"]
        for number, (image, label) in enumerate(zip(pixels[:, 0], labels, strict=True)):
            name = f"train/{label}/{number:02}.png" if layout == "imagefolder" else f"{label}/{number:02}.png"
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path / name)
            rows.append(f"{name.removeprefix('train/')},{label}")
        if layout == "imagefolder":
            (path / "train/metadata.csv").write_text("\n".join(rows) + "\n")
    found = imported(root, path, dataset)
    images, own = some_images(root, dataset)
    assert torch.equal(found.images_NCHW, images)
    assert torch.equal(found.labels, own)


@pytest.mark.parametrize("spoilt", ["[1, 2]", '{"file_name": "0.png" "label": 3}', "[" * 100_000])
def test_a_line_of_a_list_that_is_no_object_is_named_by_its_number(spoilt: str, tmp_path: Path) -> None:
    rows = ['{"file_name": "0.png", "label": 0}', "", spoilt]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"metadata.jsonl: line 3: is not a JSON object; write it as \{"):
        read_sets(tmp_path)


def test_what_dcpipe_made_comes_back_bit_for_bit(root: Path, tmp_path: Path) -> None:
    made = root / execute_and_find(root, "random")
    found = imported(root, shutil.copy(made, tmp_path / "ours.safetensors"), whitening="none")
    original = synthetic_set.load(made)
    assert torch.equal(found.images_NCHW, original.images_NCHW)
    assert (found.labels.tolist(), float(found.step_size)) == (original.labels.tolist(), float(original.step_size))


def execute_and_find(root: Path, method: str) -> str:
    """Make a set of tiny, two images per class; returns its path."""
    job = Graph(root).make_job("distill", dataset="tiny", method=method, ipc=2, set=0)
    execute_job(job, root)
    return job.outputs["synthetic"]


@pytest.mark.parametrize(("dataset", "made_of", "stated"), [("tiny-zca", "tiny", "zca"), ("tiny", "tiny-zca", "none")])
def test_a_wrong_statement_of_whitening_is_caught_by_the_pixels(
    root: Path, tmp_path: Path, dataset: str, made_of: str, stated: str
) -> None:
    images, labels = some_images(root, made_of)
    path = save_mtt(tmp_path / "mtt", images, labels)
    with pytest.raises(UserError, match=f"whitening {stated} is stated, and the pixels contradict"):
        imported(root, path, dataset, whitening=stated)
    assert not (root / "params/methods/theirs.yaml").exists()
    assert not (root / "imported/theirs").exists()


def test_what_cannot_be_told_is_said_and_must_be_stated(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    path = save_mtt(tmp_path / "noise", torch.randn(images.shape, generator=torch.Generator().manual_seed(0)), labels)
    with pytest.raises(UserError, match=r"is not stated, and cannot be determined: .*; state --whitening none or"):
        imported(root, path)
    assert not (root / "params/methods/theirs.yaml").exists()
    imported(root, path, whitening="none")
    card = json.loads((root / "artifacts/synthetic/tiny/theirs/ipc2/set0/card.json").read_text())
    assert card["facts"]["imported"]["whitening_check"].startswith("cannot be determined")


def test_real_looking_numbers_need_no_statement(root: Path, tmp_path: Path) -> None:
    for dataset in ("tiny", "tiny-zca"):
        images, labels = some_images(root, dataset)
        path = save_mtt(tmp_path / dataset, images, labels)
        assert torch.equal(imported(root, path, dataset).images_NCHW, images)
        (root / "params/methods/theirs.yaml").unlink()
        shutil.rmtree(root / "imported/theirs")


def test_other_constants_are_taken_back_to_pixels(root: Path, tmp_path: Path) -> None:
    pixels, labels = pixels_of(root)
    theirs = (torch.from_numpy(pixels).double() / 255 - 0.5) / 0.25
    path = save_mtt(tmp_path / "mtt", theirs, torch.from_numpy(labels))
    with pytest.raises(UserError, match=r"contradict|cannot be determined"):
        imported(root, path)
    found = imported(root, path, whitening="none", mean=[0.5], std=[0.25])
    torch.testing.assert_close(found.images_NCHW, some_images(root)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda images, labels: (images[:, :, :4, :4], labels), "images are 20x1x4x4, those of the dataset Nx1x8x8"),
        (lambda images, labels: (images, labels[:-1]), "there are 20 images and 19 labels"),
        (lambda images, labels: (images * math.nan, labels), "images hold values that are not finite"),
        (lambda images, labels: (images, labels + 1), "labels go from 1 to 10; the dataset has 10 classes"),
        (lambda images, _labels: (images, torch.zeros(20, 7)), "soft labels are 20x7; the dataset has 10 classes"),
        (lambda images, labels: (images.long(), labels), "images are int64 of 20x1x8x8"),
    ],
)
def test_what_is_no_set_of_the_dataset_is_refused(root: Path, tmp_path: Path, spoil, problem: str) -> None:
    path = save_mtt(tmp_path / "mtt", *spoil(*some_images(root)))
    with pytest.raises(UserError, match=problem):
        imported(root, path, whitening="none")


def test_missing_parts_are_asked_for(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    path = save_mtt(tmp_path / "mtt", images, labels, step_size=None)
    with pytest.raises(UserError, match=r"hold no step size .*; state --step-size"):
        imported(root, path, whitening="none")
    (tmp_path / "mtt/labels_best.pt").unlink()
    with pytest.raises(UserError, match=r"labels_best.pt is not beside it"):
        imported(root, path, whitening="none")
    with pytest.raises(UserError, match="tiny is not whitened"):
        imported(root, save_mtt(tmp_path / "other", images, labels), whitening="zca")


def test_changed_files_are_refused_by_their_digest(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    imported(root, save_mtt(tmp_path / "mtt", images, labels), whitening="none")
    torch.save(images + 1, root / "imported/theirs/images_best.pt")
    with pytest.raises(UserError, match=r"the files have the digest .*; params state"):
        execute_job(Graph(root).make_job("distill", dataset="tiny", method="theirs", ipc=2, set=0), root)


def test_an_imported_set_is_a_row_like_any_other(root: Path, tmp_path: Path) -> None:
    images, labels = some_images(root)
    imported(root, save_mtt(tmp_path / "mtt", images, labels), whitening="none")
    (root / "params/experiments/theirs.yaml").write_text(EXPERIMENT)
    graph = Graph(root)
    for job in graph.experiment_jobs("theirs"):
        if not job.is_view and job.stage != "data":
            execute_job(job, root)
    cells = gather_cells(graph.make_job("report", experiment="theirs"), root)
    assert [cell.method for cell in cells] == ["random", "theirs"]
    assert all(cell.mean > 30 for cell in cells)
