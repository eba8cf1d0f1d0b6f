"""Laws of releases: the same bytes twice, a script that needs no dcpipe, and what is read is what was scored."""

import json
import math
import os
import re
import runpy
import statistics
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dcpipe
import repository
from dcpipe.commands.release import make_release, script, test_images
from dcpipe.data import augment, store
from dcpipe.data.augment import DSADraw
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import CorruptArtifactError, RefusedError, UserError
from dcpipe.models.build import build
from dcpipe.provenance import artifact, durable
from dcpipe.random import Stream
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.task import Task

SCORED = {**repository.CELL, "evaluation": "digits", "network": "native"}
WITHOUT = """
import runpy, sys
sys.modules["dcpipe"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def released(root: Path, to: str = "released", **words: str | int) -> Path:
    """A release of a set of a root, all that it needs made first."""
    graph = Graph(root)
    scored = graph.make_job("evaluate", **{**SCORED, **words})
    repository.make_inputs(root, "evaluate", **{**SCORED, **words})
    execute_job(scored, root)
    make_release.release(graph, scored, root / to)
    return root / to


def plain(folder: Path, root: Path, dataset: str, networks: int) -> list[float]:
    """The accuracies of a release's script, in a process that cannot import dcpipe."""
    test = root / f"{dataset}.npz"
    test_images.export_test_images(Graph(root), dataset, test)
    command = [sys.executable, "-c", WITHOUT, "train.py", str(test), str(networks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # small steps: threads that wait for each other
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return [float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("network")]


def whitened(root: Path) -> str:
    """A dataset of few whitened digits."""
    text = "base: tiny\ndescription: A test.\nstandardise: {kind: none}\nwhitening: {kind: zca, eps: 0.1, threads: 1}\n"
    (root / "params/datasets/tiny-zca.yaml").write_text(text)
    return "tiny-zca"


def test_two_releases_are_the_same_bytes_and_leave_nothing_else(tiny: Path) -> None:
    first = repository.bytes_below(released(tiny, "a"))
    assert first == repository.bytes_below(released(tiny, "b"))
    assert not list(tiny.glob(f"{durable.TEMPORARY_PREFIX}*"))
    sums = dict(reversed(line.split("  ")) for line in first["SHA256SUMS"].decode().splitlines())
    assert sums.keys() == first.keys() - {"SHA256SUMS"}
    assert {"train.py", "card.json", "set.safetensors", "transform.safetensors", "images/class-9.png"} <= sums.keys()


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["tiny", "tiny-zca"])
def test_the_plain_script_reaches_the_stated_accuracy_without_dcpipe(tiny: Path, dataset: str) -> None:
    whitened(tiny)
    repository.set_params(tiny, "evaluations/digits.yaml", {"overrides.tiny": {"networks": 8, "epochs": 40}})
    folder = released(tiny, dataset=dataset, method="random", ipc=2)
    stated = json.loads((folder / "card.json").read_text())["expected"]
    theirs = plain(folder, tiny, dataset, 8)
    error = math.sqrt(sum(statistics.variance(some) / len(some) for some in (stated["accuracies"], theirs)))
    assert stated["n"] == len(theirs) == 8
    assert min(theirs) > 25.0  # of ten classes
    assert abs(statistics.fmean(theirs) - stated["mean"]) < 2 * error


@pytest.mark.parametrize("dataset", ["tiny", "tiny-zca"])
def test_the_set_is_loaded_with_test_images_as_evaluation_saw_them(tiny: Path, dataset: str) -> None:
    whitened(tiny)
    folder = released(tiny, dataset=dataset, method="random")
    job = Graph(tiny).make_job("evaluate", **{**SCORED, "dataset": dataset, "method": "random"})
    found, made = dcpipe.load(folder), synthetic_set.load(tiny / job.input("synthetic"))
    assert torch.equal(found.synthetic.images_NCHW, made.images_NCHW)
    assert torch.equal(found.synthetic.labels, made.labels)
    assert found.step_size == float(made.step_size)
    by = tiny / job.input("whitening") if dataset == "tiny-zca" else None
    seen = store.load(tiny / job.input("test"), "test", whitened_by=by).images_NCHW
    raw = store.load_pixels(tiny / job.input("test"), "test").pixels_NCHW
    assert torch.equal(found.test_transform(raw), seen)
    written = tiny / "test.npz"
    test_images.export_test_images(Graph(tiny), dataset, written)
    with np.load(written) as arrays:
        assert torch.equal(found.test_transform(arrays["images"]), seen)
        assert torch.equal(found.test_transform(arrays["images"].transpose(0, 2, 3, 1)), seen)
        first = found.test_transform(arrays["images"][0])
    assert torch.allclose(first, seen[0], atol=1e-6)
    one = Image.fromarray(raw[3, 0].numpy())
    assert torch.allclose(found.test_transform(one), seen[3], atol=1e-6)
    image, label = found[len(found) - 1]
    assert (image.shape, int(label), len(found)) == ((1, 8, 8), 9, 10)
    store_pixels = store.load_transform(tiny / job.input("train"), by).invert(made.images_NCHW)
    assert torch.allclose(found.pixels(), store_pixels, atol=1e-6)


@pytest.mark.slow
def test_logits_are_released_and_the_script_trains_on_their_softmax(tiny: Path) -> None:
    repository.set_params(tiny, "evaluations/digits.yaml", {"overrides.tiny": {"networks": 8, "epochs": 40}})
    logits = 3.0 * torch.eye(10).roll(1, dims=0) + 2.0 * torch.eye(10)  # mostly the next class: what no hard label says

    def soft(task: Task) -> None:
        found = synthetic_set.load(tiny / Graph(tiny).make_job("distill", **repository.CELL).outputs["synthetic"])
        labelled = SyntheticSet(found.images_NCHW, logits, found.step_size)
        synthetic_set.save(task.output("synthetic"), labelled)
        synthetic_set.save_snapshots(task.output("snapshots"), [(1, labelled)])
        for name in ("history", "preview"):
            task.output(name).write_text("")

    execute_job(Graph(tiny).make_job("distill", **repository.CELL), tiny, run_instead=soft)
    folder = released(tiny)
    assert torch.equal(torch.stack([label for _, label in dcpipe.load(folder)]), logits)
    stated = json.loads((folder / "card.json").read_text())["expected"]
    theirs = plain(folder, tiny, "tiny", 8)
    error = math.sqrt(sum(statistics.variance(some) / len(some) for some in (stated["accuracies"], theirs)))
    assert abs(statistics.fmean(theirs) - stated["mean"]) < 2 * error


def test_a_flipped_bit_or_a_lost_file_is_named(tiny: Path, subtests: pytest.Subtests) -> None:
    folder = released(tiny)
    for name in ("set.safetensors", "transform.safetensors", "card.json", "images/class-3.png"):
        with subtests.test(name=name):
            whole = (folder / name).read_bytes()
            damaged = bytearray(whole)
            damaged[len(damaged) // 2] ^= 1
            (folder / name).write_bytes(damaged)
            with pytest.raises(CorruptArtifactError, match=f"{name}: was changed after the release.*again"):
                dcpipe.load(folder)
            (folder / name).unlink()
            with pytest.raises(CorruptArtifactError, match=f"{name}: is missing"):
                dcpipe.load(folder)
            (folder / name).write_bytes(whole)
    assert len(dcpipe.load(folder)) == 10


def test_an_added_file_does_not_matter_and_another_folder_is_no_release(tiny: Path) -> None:
    folder = released(tiny)
    (folder / "notes.txt").write_text("mine")
    assert len(dcpipe.load(str(folder))) == 10
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="is not a released set: it has no SHA256SUMS"):
        dcpipe.load(folder)


def test_only_uint8_images_of_the_right_size_are_transformed(tiny: Path) -> None:
    found = dcpipe.load(released(tiny))
    for wrong in (torch.zeros(1, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8), np.zeros((9, 8), dtype=np.uint8)):
        with pytest.raises(UserError, match="images must be uint8 of 1x8x8"):
            found.test_transform(wrong)


def test_a_release_is_refused_before_anything_is_written(tiny: Path) -> None:
    graph = Graph(tiny)
    (tiny / "there").mkdir()
    refusals: list[tuple[Job, str, str]] = [
        (graph.make_job("evaluate", **SCORED), "there", "exists already"),
        (graph.make_job("evaluate", **{**SCORED, "network": "mlp"}), "new", "cannot build mlp"),
        (
            graph.make_job("evaluate", **{**SCORED, "evaluation": "mixup"}),
            "new",
            "cannot augment by mixup",
        ),
        (
            graph.make_job("evaluate", **{**SCORED, "evaluation": "digits-flat-minimum"}),
            "new",
            "trains by SGD without a sharpness rule",
        ),
    ]
    for job, to, said in refusals:
        with pytest.raises(UserError, match=said):
            make_release.release(graph, job, tiny / to)
    repository.set_params(tiny, "evaluations/digits.yaml", {"overrides.tiny.epochs": 21})
    with pytest.raises(RefusedError, match=r"other params.*epochs.*dcpipe evaluate tiny mtt"):
        make_release.release(Graph(tiny), Graph(tiny).make_job("evaluate", **SCORED), tiny / "new")
    assert not (tiny / "new").exists()
    assert not list((tiny / "there").iterdir())


def test_the_snapshot_that_was_scored_is_the_one_that_is_released(tiny: Path) -> None:
    folder = released(tiny, evaluation="digits-val-best")
    job = Graph(tiny).make_job("evaluate", **{**SCORED, "evaluation": "digits-val-best"})
    chosen = json.loads((tiny / job.outputs["scores"]).read_text())["iteration"]
    kept = dict(synthetic_set.load_snapshots(tiny / job.input("synthetic")))
    assert torch.equal(dcpipe.load(folder).synthetic.images_NCHW, kept[chosen].images_NCHW)
    assert "val-best" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("convnet3", 32),
        ("convnet2-w64", 8),
        ("convnet3-w16", 28),
        ("convnet4-w8-layer-swish-maxpool", 64),
        ("convnet2-w8-group-leakyrelu", 32),
        ("convnet2-w8-nonorm-sigmoid-nopool", 16),
    ],
)
def test_the_scripts_network_is_ours_parameter_for_parameter(name: str, size: int) -> None:
    words: dict[str, object] = {}
    body = script.network_source(name, channels=3, image_size=size, classes=7)
    exec(f"from torch import nn\ndef network():\n{body}", words)  # noqa: S102 (the text under test)
    theirs, ours = words["network"](), build(name, channels=3, image_size=size, classes=7)
    theta = ours.initial_parameters(Stream.root(0, "test").generator())
    torch.nn.utils.vector_to_parameters(theta, theirs.parameters())
    x = torch.randn(2, 3, size, size, generator=Stream.root(1, "test").generator())
    assert torch.equal(theirs(x), ours(theta, x))


def test_the_scripts_augmentation_is_ours(subtests: pytest.Subtests) -> None:
    defined: dict[str, object] = {}
    exec(script.AUGMENT_MODULE.format(families=augment.FAMILIES), defined)  # noqa: S102 (the text under test)
    for family, size in product(augment.FAMILIES, (8, 28, 32)):
        with subtests.test(family=family, size=size):
            generator = Stream.root(0, "test").generator()
            x = torch.randn(9, 3, size, size, generator=generator, dtype=torch.float64)
            uniform = torch.rand(9, 3, generator=generator, dtype=torch.float64)
            values = augment._family_parameters(family, uniform, (size, size), augment.PUBLISHED)
            ours = augment.apply(x, DSADraw(family, values, size, size, False))
            assert torch.allclose(defined["apply"](x, family, uniform), ours, atol=1e-9)


def test_the_script_for_a_network_of_ones_own_trains(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, page = released(tiny), (repository.ROOT / "docs/sets.md").read_text()
    count = test_images.export_test_images(Graph(tiny), "tiny", tiny / "test.npz")
    _, _, begun = page.partition('```python\n"""Train a torchvision ResNet-18')
    (tiny / "resnet18.py").write_text('"""Train' + begun.partition("```")[0])
    monkeypatch.setattr(sys, "argv", ["resnet18.py", str(folder), str(tiny / "test.npz"), "1"])
    with torch.random.fork_rng():
        runpy.run_path(str(tiny / "resnet18.py"))
    assert re.fullmatch(rf"\d+\.\d % of {count} test images after 1 epochs\n", capsys.readouterr().out)


def test_a_searched_rate_is_the_scripts_rate(tiny: Path) -> None:
    folder = released(tiny, evaluation="digits-searched")
    found = json.loads((folder / "card.json").read_text())["expected"]["learning_rate"]
    assert f'rate = made["images"], made["labels"], {found}\n' in (folder / "train.py").read_text()


def test_a_protocol_that_augments_brings_its_augmentation_along(tiny: Path) -> None:
    repository.set_params(tiny, "evaluations/digits.yaml", {"augmentation": "crop_scale_color"})
    folder = released(tiny)
    assert "augmented(images[rows])" in (folder / "train.py").read_text()
    assert len(plain(folder, tiny, "tiny", 1)) == 1


@pytest.mark.parametrize(("found", "reads"), [("dcpipe release 1", True), (2, True), (3, False), (None, False)])
def test_a_release_states_its_format_and_newer_ones_are_refused(found: object, reads: bool, tiny: Path) -> None:
    folder = released(tiny)
    card, sums = folder / "card.json", folder / "SHA256SUMS"
    assert json.loads(card.read_text())["format"] == 2
    before = artifact.sha256(card)
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": found}))
    sums.write_text(sums.read_text().replace(before, artifact.sha256(card)))
    if reads:
        assert len(dcpipe.load(folder)) == 10
        return
    wanted = (
        r"was written by a newer dcpipe \(format 3; " if found else "format must be a whole number from 1, not None"
    )
    with pytest.raises(UserError, match=rf"card\.json: {wanted}"):
        dcpipe.load(folder)
