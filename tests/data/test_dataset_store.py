"""Laws of the dataset store: what is written is what is loaded, standardised by train alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

import repository
from dcpipe.data import digits, store
from dcpipe.errors import UserError
from dcpipe.params.params_files import available_names
from dcpipe.workflow.graph import Graph


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """All digits as train, in chunks of which the last is not full, and 100 of them as val."""
    images, labels = digits.load_digits()
    path = tmp_path / "x.zarr"
    moments = store.write(path, "train", labels, (1, 8, 8), lambda a, b: images[a:b])
    store.write(path, "val", labels[:100], (1, 8, 8), lambda a, b: images[a:b])
    store.write_attributes(path, classes=10, standardisation=moments.standardisation())
    return path


def measure(images: np.ndarray) -> store.Standardisation:
    """The standardisation of all pixels."""
    moments = store.Moments.zero(images.shape[1])
    moments.add(images)
    return moments.standardisation()


def test_pixels_and_labels_come_back_exactly(written: Path) -> None:
    images, labels = digits.load_digits()
    found = store.load(written, "train")
    pixels = store.standardisation(written).invert(found.images_NCHW.double()) * 255
    assert np.array_equal(pixels.round().to(torch.uint8).numpy(), images)
    assert np.array_equal(found.labels_N.numpy(), labels)
    assert (found.classes, found.channels, found.size) == (10, 1, 8)
    assert (found.images_NCHW.dtype, found.labels_N.dtype) == (torch.float32, torch.int64)


def test_standardised_training_images_have_mean_zero_and_deviation_one(written: Path) -> None:
    images = store.load(written, "train").images_NCHW.double()
    assert images.mean().abs() < 1e-6
    assert (images.std(correction=0) - 1).abs() < 1e-6


def test_every_channel_is_measured_by_itself_and_as_numpy_does_in_float64() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, [[[200]], [[50]], [[256]]], size=(500, 3, 5, 5)).astype(np.uint8)
    found = measure(images)
    pixels = images.astype(np.float64) / 255
    np.testing.assert_allclose(found.mean_C, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.std_C, pixels.std(axis=(0, 2, 3)), rtol=1e-10)


def test_the_measure_does_not_depend_on_the_order_of_images() -> None:
    images, _ = digits.load_digits()
    assert measure(images) == measure(images[::-1])


def test_all_parts_are_standardised_by_train(made: Path) -> None:
    folder = made / "artifacts/data/tiny"
    assert store.standardisation(folder / "test.zarr") == store.standardisation(folder / "train.zarr")
    parts = [store.load(folder / "train.zarr", "train"), store.load(folder / "train.zarr", "val")]
    parts.append(store.load(folder / "test.zarr", "test"))
    assert [len(part.labels_N) for part in parts] == [160, 80, 240]
    means = [abs(float(part.images_NCHW.mean())) for part in parts]
    assert means[0] < 1e-6
    assert min(means[1:]) > 1e-4  # measured on train, so only train's is exactly zero


def test_a_part_that_a_dataset_lacks_is_refused_by_name(written: Path) -> None:
    with pytest.raises(UserError, match=r"x\.zarr: holds no test images; name a dataset that has one"):
        store.load(written, "test")


@pytest.mark.slow
def test_only_evaluations_and_applications_read_test_images(subtests: pytest.Subtests) -> None:
    graph = Graph(repository.ROOT)
    for experiment in available_names(repository.ROOT, "experiments"):
        with subtests.test(experiment=experiment):
            jobs = graph.experiment_jobs(experiment)
            test_stores = {job.outputs["test"] for job in jobs if job.stage == "data"}
            readers = {job.stage for job in jobs for paths in job.inputs.values() if test_stores & set(paths)}
            assert "evaluate" in readers
            assert readers <= {"evaluate", "apply"}


def test_test_images_are_no_training_images(made: Path) -> None:
    folder = made / "artifacts/data/tiny"
    train = {image.numpy().tobytes() for image in store.load(folder / "train.zarr", "train").images_NCHW}
    test = [image.numpy().tobytes() for image in store.load(folder / "test.zarr", "test").images_NCHW]
    assert not train & set(test)
