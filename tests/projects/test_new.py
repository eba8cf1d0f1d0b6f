"""`dcpipe new`: what it sees of a folder, what it refuses, and that what it writes fits the machine and runs."""

import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import repository
from dcpipe.commands.new import new_experiment, sizing
from dcpipe.commands.new.sizing import Design, Speed, TimeBudget
from dcpipe.commands.new.survey import Survey, survey
from dcpipe.data.problems import Problems
from dcpipe.errors import UserError
from dcpipe.params import experiment_file, file_schema
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import artifact
from dcpipe.workflow.graph import Graph

CLASSES = ("ash", "beech", "elm", "fir", "larch", "oak")


def _photographs(place: Path, classes: tuple[str, ...] = CLASSES, count: int = 30, side: int = 18) -> Path:
    """Squares of the two photographs that come with scikit-learn, as JPEG files, a folder per class."""
    draws = np.random.default_rng(0)
    pictures = load_sample_images().images
    for number, name in enumerate(classes):
        (place / name).mkdir(parents=True)
        for one in range(count):
            picture = pictures[number % 2]
            top, left = draws.integers(0, picture.shape[0] - side), draws.integers(0, picture.shape[1] - side)
            Image.fromarray(picture[top : top + side, left : left + side]).save(place / name / f"{one}.jpg")
    return place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository.copy_params(tmp_path / "root")


def _new(root: Path, *arguments: str) -> tuple[int, str]:
    return repository.dcpipe(root, "new", *arguments, DCPIPE_DEVICE="cpu")


def _seen(counts: dict[str, int], side: int = 64, *, test: int = 0) -> Survey:
    return Survey(Path("seen"), counts, dict.fromkeys(counts, test) if test else {}, 3, (side,) * 100, Problems())


def _commands() -> list[list[str]]:
    """The commands of README's section on photographs."""
    _, section = (repository.ROOT / "README.md").read_text().split("### Your own photographs\n")
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.mark.slow
def test_the_readme_leads_from_photographs_to_a_released_set(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DCPIPE_DEVICE", "cpu")
    folder = _photographs(tmp_path / "photographs/birds")
    new, snakemake, release = _commands()
    code, printed = repository.dcpipe(root, *new[1:])
    assert code == 0, printed
    assert f"{folder}: 6 classes, 180 images (30 in each); shorter side of 18 pixels; in colour" in printed
    assert f"next: `{' '.join(snakemake)}`" in printed
    text = (root / "birds.yaml").read_text()
    (dataset,) = read_yaml(root / "birds.yaml")["datasets"].values()
    assert (dataset["source"]["classes"], dataset["source"]["image_size"]) == (6, 16)
    assert (dataset["split"]["test_per_class"], dataset["split"]["train_per_class"]) == (6, 24)
    short = {"iterations": 2, "snapshot_every": 2, "epochs": 4, "inner_steps": 2, "max_start_epoch": 2, "networks": 1}
    for knob, value in short.items():
        text = re.sub(rf"\b{knob}: \d+", f"{knob}: {value}", text)
    (root / "birds.yaml").write_text(text)
    name = snakemake[-1].removeprefix("experiment=")
    code, printed = repository.dcpipe(root, "run", name, "--unrecorded")  # the same jobs, in a folder without git
    assert code == 0, printed
    assert {"Random", "DM", "MTT"} <= set(re.findall(r"Random|DM|MTT", printed))
    facts = artifact.read_card(root / "artifacts/data/birds/train.zarr")["facts"]
    assert facts["images"] == {"train": 144, "val": 0, "test": 36}
    assert (root / "results/birds/report.html").is_file()
    code, printed = repository.dcpipe(root, *release[1:])
    assert code == 0, printed
    assert (root / release[-1] / "SHA256SUMS").is_file()


def test_train_and_test_folders_and_grey_images_are_seen(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(12 if part == "train" else 3):
                Image.new("L", (40, 33 + number), number).save(tmp_path / part / name / f"{number}.png")
    seen = survey(tmp_path)
    assert (seen.counts, seen.test_counts) == ({"cat": 12, "dog": 12}, {"cat": 3, "dog": 3})
    assert (seen.channels, seen.sides[0], seen.sides[-1], seen.images) == (1, 33, 40, 30)
    assert sizing.split_sizes(seen) == (12, None)
    Image.new("P", (40, 40)).save(tmp_path / "train/cat/coloured.png")
    assert survey(tmp_path).channels == 3


def test_files_that_cannot_be_used_are_counted_and_the_first_named(root: Path, tmp_path: Path) -> None:
    folder = _photographs(tmp_path / "trees", CLASSES[:2])
    whole = (folder / "ash/0.jpg").read_bytes()
    (folder / "ash/0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "ash/1.jpg").write_bytes(b"no image")
    (folder / "beech/notes.txt").write_text("seen in May")
    (folder / "beech/.hidden").write_text("")
    (folder / "beech/2.jpg").unlink()
    (folder / "beech/2.jpg").symlink_to("gone.jpg")
    Image.new("I;16", (20, 20)).save(folder / "ash/deep.png")
    Image.new("RGB", (7, 30)).save(folder / "ash/sliver.png")
    seen = survey(folder)
    assert {kind: [path.name for path, _ in members] for kind, members in seen.problems.by_kind.items()} == {
        "cannot be read as an image": ["0.jpg", "1.jpg"],
        "does not have the name of an image file": ["notes.txt"],
        "is a broken link": ["2.jpg"],
        "has more than 8 bits a channel": ["deep.png"],
        "has a side below 8 pixels": ["sliver.png"],
    }
    assert seen.counts == {"ash": 28, "beech": 29}
    assert seen.rarest == ("ash", 28)
    code, printed = _new(root, str(folder))
    assert code == 0, printed
    assert f"{folder}: 6 files or folders cannot be used: " in printed
    assert "does not have the name of an image file (1: beech/notes.txt)" in printed
    assert "fix or remove it, or preparing the data is refused" in printed


def _empty(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").mkdir()


def _halves(folder: Path) -> None:
    _photographs(folder / "train", ("a", "b"), 1)
    _photographs(folder / "val", ("a", "b"), 1)


def _unequal(folder: Path) -> None:
    _photographs(folder / "train", ("a", "b"), 1)
    _photographs(folder / "test", ("a", "c"), 1)


REFUSED = {
    "no class folder": (lambda _: None, "has no class folder; distillation needs two classes or more; make"),
    "one class": (
        lambda folder: _photographs(folder, ("a",), 1),
        r"has 1 class folder \(a\); .*; make a folder per class",
    ),
    "a folder too high": (
        lambda folder: _photographs(folder / "all", ("a", "b"), 1),
        r"\(all\); .*; name .*trees/all, whose",
    ),
    "no image": (_empty, "contains no image that can be read; name a folder that holds one folder of image files"),
    "too few": (lambda folder: _photographs(folder, ("a", "b"), 19), "the class a has 19 images; each class needs 20"),
    "no test part": (_halves, r"has train/ and val/ and no test/; rename val/ to test/"),
    "unequal parts": (_unequal, r"the class folder b is in only one of train/ and test/; give both the same"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_no_experiment_can_be_made_of_is_refused(case: str, root: Path, tmp_path: Path) -> None:
    make, message = REFUSED[case]
    (tmp_path / "trees").mkdir()
    make(tmp_path / "trees")
    code, printed = _new(root, str(tmp_path / "trees"))
    assert code == 2
    assert re.search(message, printed), printed
    assert len(printed.splitlines()) == 1
    assert not (root / "trees.yaml").exists()
    assert not (root / "local.yaml").exists()


def test_names_that_are_taken_are_refused_before_the_folder_is_read(root: Path, tmp_path: Path) -> None:
    (root / "trees.yaml").write_text("")
    for arguments, message in (
        ([str(tmp_path / "trees")], "trees.yaml: exists already; remove it, or choose another name with --name"),
        ([str(tmp_path / "digits")], "params/datasets/digits.yaml: the name digits is taken; choose another name"),
        ([str(tmp_path), "--name", "My Trees"], "--name: 'My Trees' is not a valid name: write lower-case letters"),
        ([str(tmp_path / "木")], "no experiment can be named after this folder; give a name: --name NAME"),
        ([str(tmp_path / "gone")], f"{tmp_path / 'gone'}: this folder does not exist"),
        ([str(root / "trees.yaml"), "--name", "oaks"], "trees.yaml: is a file; name the folder that holds"),
        ([str(tmp_path / "gone"), "--minutes", "0"], "--minutes"),
    ):
        code, printed = _new(root, *arguments)
        assert code == 2
        assert message in printed, printed
    (tmp_path / "bare").mkdir()
    assert "this folder is not a dcpipe project" in _new(tmp_path / "bare", str(tmp_path / "trees"))[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "# where data is on this machine\nroots:\n  trees: {place}\n"),
        ("data_root: ~/data  # mine\n", "data_root: ~/data  # mine\nroots:\n  trees: {place}\n"),
        ("roots: # others\n  a: ~/a\n", "roots: # others\n  trees: {place}\n  a: ~/a\n"),
        ("roots:\n  trees: {place}\n", None),
    ],
)
def test_local_yaml_gains_one_line_and_keeps_the_others(before: str | None, after: str | None, root: Path) -> None:
    place = root.parent / "trees"
    place.mkdir()
    if before is not None:
        (root / "local.yaml").write_text(before.format(place=place))
    found = new_experiment.local_yaml_text(root, "trees", place)
    assert found == (after.format(place=f'"{place}"') if after else None)


@pytest.mark.parametrize("before", ["roots: {a: ~/a}\n", "roots:\n    a: ~/a\n", "roots:\n  trees: /elsewhere\n"])
def test_local_yaml_that_a_line_cannot_be_added_to_is_refused(before: str, root: Path) -> None:
    (root / "local.yaml").write_text(before)
    with pytest.raises(UserError, match=r"local\.yaml: .*; (write `trees: .*` below roots there|remove that line)"):
        new_experiment.local_yaml_text(root, "trees", root.parent / "trees")
    assert (root / "local.yaml").read_text() == before


def test_a_faster_machine_or_more_time_never_makes_a_smaller_experiment() -> None:
    seen = _seen(dict.fromkeys(CLASSES, 600))

    def work(seconds_per_image: float, minutes: float) -> float:
        speed = Speed(seconds_per_image, seconds_per_image)
        design = sizing.design_for(seen, 32, "convnet3", speed, TimeBudget(60 * minutes, 2))
        return sizing.predict(design, Speed(1.0, 1.0)).total_seconds

    by_speed = [work(0.1 / 2**power, 10) for power in range(12)]
    by_time = [work(5e-3, 2**power) for power in range(12)]
    assert by_speed == sorted(by_speed)
    assert by_time == sorted(by_time)
    assert by_speed[-1] > 10 * by_speed[0]


def test_a_design_keeps_to_its_time_wherever_the_smallest_does() -> None:
    for count in (20, 30, 600, 5000):
        for classes in (2, 6, 100):
            for seconds in (1e-4, 1e-3, 1e-2):
                speed, allowance = Speed(2 * seconds, seconds), TimeBudget(600, 4)
                seen = _seen({f"c{number}": count for number in range(classes)})
                design = sizing.design_for(seen, 32, "convnet3", speed, allowance)
                assert design.trained + design.tested <= count
                assert 4 <= design.epochs <= 30
                assert sizing.fits(design, speed, allowance) or design.ipc == (1,)


def test_the_size_is_the_largest_that_the_images_have_pixels_for() -> None:
    counts = {"a": 50, "b": 50}
    assert sizing.image_sizes(_seen(counts, 500))[0] == 64
    assert sizing.image_sizes(_seen(counts, 63)) == [32, 16]
    assert sizing.image_sizes(_seen(counts, 9)) == [16]
    mixed = Survey(Path("seen"), counts, {}, 3, (40,) * 4 + (300,) * 96, Problems())
    assert sizing.image_sizes(mixed)[0] == 64, "four in a hundred may be enlarged"
    tiny = Survey(Path("seen"), counts, {}, 3, (31,) + (300,) * 99, Problems())
    assert sizing.image_sizes(tiny)[0] == 32, "preparing refuses a side below half of the size"


def test_every_network_that_is_chosen_can_be_measured() -> None:
    import torch

    for size, networks in sizing.NETWORKS.items():
        for network in networks:
            speed = sizing.measure_speed(network, 2, 3, size, torch.device("cpu"), seconds=0.01)
            assert 0 < speed.large < math.inf
            assert 0 < speed.small < math.inf


@pytest.mark.slow
@pytest.mark.parametrize("tests", [0, 5])
@pytest.mark.parametrize("count", [20, 700])
@pytest.mark.parametrize("minutes", [1, 600])
def test_every_file_that_can_be_written_plans_and_keeps_to_the_schema(
    tests: int, count: int, minutes: int, root: Path, tmp_path: Path
) -> None:
    import jsonschema

    seen, allowance, speed = _seen({"a": count, "b": count}, test=tests), TimeBudget(60 * minutes, 2), Speed(1e-3, 1e-3)
    for size, networks in sizing.NETWORKS.items():
        design: Design = sizing.design_for(seen, size, networks[-1], speed, allowance)
        text = new_experiment.experiment_text("trees", seen, design, sizing.predict(design, speed), allowance)
        (tmp_path / "trees.yaml").write_text(text)
        file = experiment_file.load_experiment(root, str(tmp_path / "trees.yaml"))
        jobs = Graph(root, file.inline_sections).experiment_jobs("trees")
        assert len(jobs) == design.jobs
        jsonschema.validate(read_yaml(tmp_path / "trees.yaml"), file_schema.file_schema("experiments"))
        assert max(map(len, text.splitlines())) <= 120
