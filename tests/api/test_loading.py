"""`dcpipe.load` of sets as plain torch code elsewhere writes them, and of releases."""

from pathlib import Path

import hand
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import dcpipe
from dcpipe.errors import UserError

TEST = hand.test()
MEAN, STD = 0.305, 0.376


def one_of_each_class() -> tuple[Tensor, Tensor]:
    """The first digit of each class (10 x 1 x 8 x 8, uint8) and its label."""
    images, labels = hand.train()
    return torch.stack([images[labels == label][0] for label in range(10)]), torch.arange(10)


PIXELS, LABELS = one_of_each_class()
STANDARDISED = (PIXELS / 255 - MEAN) / STD
LOGITS = 8 * torch.eye(10)
CONSTANTS = {"mean": [MEAN], "std": [STD]}


def save_mtt(folder: Path, labels: Tensor = LABELS, step_size: float | None = 0.02) -> Path:
    folder.mkdir()
    torch.save(STANDARDISED, folder / "images_best.pt")
    torch.save(labels, folder / "labels_best.pt")
    if step_size is not None:
        torch.save(torch.tensor(step_size), folder / "lr_best.pt")
    return folder


def save_dc(folder: Path) -> Path:
    folder.mkdir()
    both = [[STANDARDISED, LABELS], [STANDARDISED + 0.5, LABELS]]
    torch.save({"data": both, "accs_all_exps": {"ConvNet": [0.5, 0.7]}}, folder / "res_DC_digits_ConvNet_1ipc.pt")
    return folder / "res_DC_digits_ConvNet_1ipc.pt"


def save_pictures(folder: Path, *, metadata: bool) -> Path:
    rows = ["file_name,label"]
    for pixels, label in zip(PIXELS, LABELS.tolist(), strict=True):
        path = folder / f"{label}/first.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels[0].numpy()).save(path)
        rows.append(f"{label}/first.png,{label}")
    if metadata:
        (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_files_of_trajectory_matching_keep_their_bits(tmp_path: Path) -> None:
    folder = save_mtt(tmp_path / "theirs")
    for path in (folder, folder / "images_best.pt", str(folder)):
        found = dcpipe.load(path, **CONSTANTS)
        assert torch.equal(found.images, STANDARDISED)
        assert torch.equal(found.labels, LABELS)
        assert found.step_size == float(torch.tensor(0.02))
        assert (found.label, found.card["layout"]) == ("theirs", "mtt")
    torch.testing.assert_close(found.test_transform(PIXELS), STANDARDISED)


def test_soft_labels_are_logits_or_probabilities(tmp_path: Path) -> None:
    logits = dcpipe.load(save_mtt(tmp_path / "logits", LOGITS), **CONSTANTS)
    assert torch.equal(logits.labels, LOGITS)
    assert logits.card["layout"] == "datm"
    probabilities = dcpipe.load(save_mtt(tmp_path / "probabilities", LOGITS.softmax(1)), **CONSTANTS)
    torch.testing.assert_close(probabilities.synthetic.targets, LOGITS.softmax(1))


def test_a_file_of_several_sets_gives_the_one_that_is_asked_for(tmp_path: Path) -> None:
    path = save_dc(tmp_path / "dc")
    assert torch.equal(dcpipe.load(path, **CONSTANTS).images, STANDARDISED)
    second = dcpipe.load(path, number=1, step_size=0.5, **CONSTANTS)
    assert torch.equal(second.images, STANDARDISED + 0.5)
    assert second.step_size == 0.5
    assert second.card["claims_of_files"] == {"accuracy of ConvNet": pytest.approx(60.0)}
    with pytest.raises(UserError, match=r"number: is 2; .* holds 2 sets; pass a whole number from 0"):
        dcpipe.load(path, number=2, **CONSTANTS)


def test_pixels_need_no_statement(tmp_path: Path) -> None:
    np.savez(tmp_path / "theirs.npz", images=PIXELS[:, 0].numpy(), labels=LABELS.numpy())
    paths = [tmp_path / "theirs.npz", save_pictures(tmp_path / "classes", metadata=False)]
    for path in (*paths, save_pictures(tmp_path / "imagefolder", metadata=True)):
        found = dcpipe.load(path)
        torch.testing.assert_close(found.pixels(), PIXELS / 255)
        assert found.labels.tolist() == LABELS.tolist()
        assert found.step_size == 0.01
        with pytest.raises(UserError, match=r"mean: .* holds pixels, which are not standardised; leave it out"):
            dcpipe.load(path, **CONSTANTS)


def test_a_loaded_set_scores_as_its_tensors_do(tmp_path: Path) -> None:
    work = hand.workspace(tmp_path / "work")
    theirs = dcpipe.load(save_mtt(tmp_path / "theirs"), **CONSTANTS)
    ours = dcpipe.from_tensors(STANDARDISED, LABELS, step_size=theirs.step_size, **CONSTANTS)
    scores = [dcpipe.evaluate(one, TEST, protocol="quick", workspace=work) for one in (theirs, ours)]
    assert scores[0].accuracies == scores[1].accuracies
    assert scores[0].mean > 20


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the dataset tiny, plain and whitened."""
    root = hand.workspace(tmp_path_factory.mktemp("loading") / "work")
    text = "base: tiny\ndescription: Whitened.\nstandardise: {kind: none}\n"
    text += "whitening: {kind: zca, eps: 0.1, threads: 1}\n"
    (root / "params/datasets/tiny-zca.yaml").write_text(text)
    return root


def test_a_named_dataset_says_how_its_sets_were_prepared(work: Path, tmp_path: Path) -> None:
    whitened = dcpipe.distill("tiny-zca", method="random", ipc=1, workspace=work)
    torch.save(whitened.images, tmp_path / "images_best.pt")
    torch.save(whitened.labels, tmp_path / "labels_best.pt")
    found = dcpipe.load(tmp_path, dataset="tiny-zca", whitening="zca", step_size=0.01, workspace=work)
    assert torch.equal(found.images, whitened.images)
    assert torch.equal(found.test_transform(PIXELS), whitened.test_transform(PIXELS))
    assert dcpipe.evaluate(found, protocol="quick").test_images == 240
    cards = {path: path.stat().st_mtime_ns for path in work.rglob("card.json")}
    again = dcpipe.load(tmp_path, dataset="tiny-zca", whitening="zca", step_size=0.01, workspace=work)
    assert torch.equal(again.images, found.images)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("card.json")} == cards
    with pytest.raises(UserError, match=r"whitening none is stated, and the pixels contradict|its numbers are not wh"):
        dcpipe.load(tmp_path, dataset="tiny-zca", whitening="none", step_size=0.01, workspace=work)
    with pytest.raises(UserError, match="tiny is not whitened"):
        dcpipe.load(tmp_path, dataset="tiny", whitening="zca", step_size=0.01, workspace=work)
    with pytest.raises(UserError, match="there is no dataset 'tiny-zcaa'; did you mean tiny-zca"):
        dcpipe.load(tmp_path, dataset="tiny-zcaa", step_size=0.01, workspace=work)


def test_what_is_missing_or_impossible_is_said(tmp_path: Path) -> None:
    folder = save_mtt(tmp_path / "theirs", step_size=-3.5)
    with pytest.raises(UserError, match=r"its files do not say how; pass mean=... and std=... of its authors, or"):
        dcpipe.load(folder)
    with pytest.raises(UserError, match=r"the step size in the files is -3.5; state step_size=..., such as math.exp"):
        dcpipe.load(folder, **CONSTANTS)
    with pytest.raises(UserError, match='whitening="zca": the whitening of test images is known only where the data'):
        dcpipe.load(folder, whitening="zca")
    with pytest.raises(UserError, match="theirs: mean: has 2 values; images have 1 channel"):
        dcpipe.load(folder, mean=[0.5, 0.5], std=[0.5], step_size=0.01)
    with pytest.raises(UserError, match="theirs: std: is given without the other; pass mean and std, or neither"):
        dcpipe.load(folder, std=[0.5], step_size=0.01)
    without = save_mtt(tmp_path / "without", step_size=None)
    with pytest.raises(UserError, match=r"no lr_best.pt beside the images\); state step_size=...; its authors' log"):
        dcpipe.load(without, **CONSTANTS)
    with pytest.raises(UserError, match=r"this file or folder does not exist; pass images_best.pt"):
        dcpipe.load(tmp_path / "nothing")
    (tmp_path / "release").mkdir()
    (tmp_path / "release/set.safetensors").touch()
    with pytest.raises(UserError, match="mean: a released set states its own; leave it out"):
        dcpipe.load(tmp_path / "release", **CONSTANTS)
    with pytest.raises(UserError, match="is not a released set: it has no SHA256SUMS"):
        dcpipe.load(tmp_path / "release")
