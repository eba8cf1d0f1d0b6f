"""The library makes what the pipeline makes; its calls go on where they were, and say what is wrong at once."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hand
import pytest
import torch

import dcpipe
import repository
from dcpipe.errors import UserError

TRAIN, TEST = hand.train(), hand.test()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand.workspace(tmp_path_factory.mktemp("library") / "work")


@pytest.fixture(scope="module")
def small(work: Path) -> dcpipe.DistilledSet:
    return dcpipe.distill(*TRAIN, method="dm", ipc=1, workspace=work, minutes=1, params=hand.QUICK)


def made_since(work: Path, before: float) -> list[str]:
    return sorted(path.parent.name for path in work.rglob("card.json") if path.stat().st_mtime > before)


def test_a_named_dataset_gives_the_bytes_of_the_pipeline(made: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    dcpipe.distill("tiny", method="mtt", ipc=1, workspace=work)
    place = "artifacts/synthetic/tiny/mtt/ipc1/set0/synthetic.safetensors"
    assert (work / place).read_bytes() == (made / place).read_bytes()


def test_a_named_dataset_is_scored_on_its_own_test_images(made: Path, tmp_path: Path) -> None:
    small = dcpipe.distill("tiny", method="random", workspace=tmp_path / "work")
    scores = dcpipe.evaluate(small, protocol="digits")
    place = "artifacts/scores/tiny/random/ipc1/set0/digits"
    (wanted,) = (made / place).rglob("scores.json")
    assert (tmp_path / "work" / wanted.relative_to(made)).read_bytes() == wanted.read_bytes()
    assert scores.test_images == 240


def test_the_same_call_takes_what_it_made(small: dcpipe.DistilledSet, work: Path) -> None:
    before = time.time()
    again = dcpipe.distill(*TRAIN, method="dm", ipc=1, workspace=work, minutes=1, params=hand.QUICK)
    assert torch.equal(again.images, small.images)
    assert made_since(work, before) == []


def test_another_workspace_gives_the_same_bytes(small: dcpipe.DistilledSet, tmp_path: Path) -> None:
    other = dcpipe.distill(*TRAIN, method="dm", workspace=tmp_path / "other", minutes=1, params=hand.QUICK)
    assert torch.equal(other.images, small.images)
    assert other.history == small.history
    assert len(other.history) == 20


def test_nothing_of_the_process_is_left_changed(work: Path, small: dcpipe.DistilledSet) -> None:
    def state() -> tuple[object, ...]:
        log = logging.getLogger("dcpipe")
        return torch.get_num_threads(), torch.get_deterministic_debug_mode(), log.handlers[:], log.level

    before = state()
    torch.set_num_threads(2)
    torch.set_deterministic_debug_mode("default")
    try:
        wanted = state()
        dcpipe.distill(*TRAIN, method="random", workspace=work)
        assert state() == wanted
    finally:
        torch.set_num_threads(int(str(before[0])))
        torch.set_deterministic_debug_mode(int(str(before[1])))


def test_a_set_is_a_dataset_with_the_transform_of_its_images(small: dcpipe.DistilledSet) -> None:
    assert len(small) == 10
    image, label = small[3]
    assert (tuple(image.shape), int(label)) == ((1, 8, 8), 3)
    seen = small.test_transform(TRAIN[0])
    torch.testing.assert_close(seen.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)
    assert small.show().size[0] > 8


def test_a_set_and_its_tensors_have_the_same_accuracies(small: dcpipe.DistilledSet) -> None:
    mean, std = small.transform.tensors().values()
    tensors = dcpipe.from_tensors(
        small.images, small.labels, step_size=small.step_size, mean=mean.tolist(), std=std.tolist()
    )
    table = dcpipe.compare({"made": small, "tensors": tensors}, TEST, protocol="quick")
    assert table["made"].pooled.accuracies == table["tensors"].pooled.accuracies
    assert table["tensors"].images == 10
    assert dcpipe.evaluate(small, TEST, protocol="quick").accuracies == table["made"].pooled.accuracies


def test_a_saved_set_comes_back(small: dcpipe.DistilledSet, tmp_path: Path) -> None:
    scores = dcpipe.evaluate(small, TEST, protocol="quick", networks=1)
    assert (scores.n, scores.standard_error) == (1, None)
    folder = small.save(tmp_path / "release")
    loaded = dcpipe.load(folder)
    assert torch.equal(loaded.images, small.images)
    assert torch.equal(loaded.test_transform(TEST[0]), small.test_transform(TEST[0]))
    assert dcpipe.evaluate(folder, TEST, protocol="quick", workspace=hand.workspace(tmp_path / "other")).n == 2


def test_sets_of_one_kind_tie_and_noise_is_worse(work: Path) -> None:
    draws = [dcpipe.distill(*TRAIN, method="random", ipc=2, workspace=work, params={"seed": seed}) for seed in (1, 2)]
    noise = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(10).repeat(2)
    table = dcpipe.compare({"drawn": draws, "noise": noise}, TEST, protocol="quick")
    assert table["drawn"].verdict == "tie"
    assert table["noise"].verdict == "worse"
    assert table["drawn"].pooled.n == 4
    text = str(table)
    assert text.startswith("set                 images  accuracy %  n  against random real images\n")
    assert "a tie is a difference within 2 standard errors" in text


def test_soft_labels_of_a_stranger_are_scored(tmp_path: Path) -> None:
    images = torch.stack([TRAIN[0][TRAIN[1] == label][0] for label in range(10)])
    soft = dcpipe.from_tensors(images, 5 * torch.eye(10), step_size=0.05)
    scores = dcpipe.evaluate(soft, TEST, protocol="quick", workspace=hand.workspace(tmp_path / "work"))
    assert scores.mean > 20


WRONG = {
    "there is no method 'mttt'; did you mean mtt": {"method": "mttt"},
    "is 0; pass a whole number from 1": {"ipc": 0},
    "images per class are asked for; class": {"ipc": 40},
    "minutes: is -1; pass a number above 0": {"minutes": -1},
    "there is no network 'convnett3'": {"network": "convnett3"},
    "unknown key outer.iteration; did you mean outer.iterations": {"params": {"outer.iteration": 3}},
    "params: outer.iterations is set": {"params": {"outer.iterations": {1}}},
    "outer.iterations: input should be greater than or equal to 1 (it is 0)": {"params": {"outer": {"iterations": 0}}},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_call_is_refused_before_a_job_runs(said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        dcpipe.distill(*TRAIN, workspace=tmp_path / "work", **WRONG[said])  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert not list(tmp_path.rglob("card.json"))


def test_a_set_and_test_images_must_fit(small: dcpipe.DistilledSet, tmp_path: Path) -> None:
    images, labels = TEST
    with pytest.raises(UserError, match="test images: are 1 x 16 x 16; the images to train on are 1 x 8 x 8"):
        dcpipe.evaluate(small, (images.view(75, 1, 16, 16), labels[:75]))
    few = labels < 5
    with pytest.raises(UserError, match="test images: have the labels 0 to 4; the images to train on have 10 classes"):
        dcpipe.evaluate(small, (images[few], labels[few]))
    with pytest.raises(UserError, match=r"test images: there are none; pass test=\(images, labels\)"):
        dcpipe.evaluate(small)
    with pytest.raises(UserError, match="there is no protocol 'dsa-30'; did you mean dsa"):
        dcpipe.evaluate(small, TEST, protocol="dsa-30")
    with pytest.raises(UserError, match="labels of the test images: are 299"):
        dcpipe.evaluate(small, (images, labels[:-1]))
    with pytest.raises(UserError, match="a release states the accuracy to expect"):
        dcpipe.from_tensors(images, labels).save(tmp_path / "release")


def test_a_folder_that_holds_other_things_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty"):
        dcpipe.distill(*TRAIN, workspace=tmp_path)


CALL = """
import sys
import hand, dcpipe
small = dcpipe.distill(*hand.train(), method="dm", workspace=sys.argv[1], minutes=1, params={"outer.iterations": 500})
print("made", float(small.images.double().sum()))
"""


@pytest.mark.slow
def test_the_same_call_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DCPIPE_")}
    search = f"{repository.ROOT / 'src'}:{repository.ROOT / 'tests/api'}"
    environment = {**kept, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "DCPIPE_DEVICE": "cpu"}

    def start(folder: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CALL, str(tmp_path / folder)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    stopped = start("one")
    deadline, logs = time.monotonic() + 300, (tmp_path / "one/logs/distill").glob
    while not any(" of 500" in log.read_text() for log in logs("*.log")) and time.monotonic() < deadline:  # iterations
        time.sleep(0.1)
    time.sleep(0.5)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=300)
    assert said.rstrip().endswith("KeyboardInterrupt: stopped; the same call goes on from what was saved")
    assert list((tmp_path / "one" / "state").rglob("distill*"))
    again, whole = (start(folder).communicate(timeout=240) for folder in ("one", "two"))
    assert again[0].startswith("made")
    assert again[0] == whole[0]
    (log,) = (tmp_path / "one").glob("logs/distill/*.log")
    assert "resumes from its saved state" in log.read_text()
