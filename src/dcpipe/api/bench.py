"""Where sets are scored: a dataset of a workspace, which sets enter as they are.

Test images that somebody gives become a dataset of their own. Its training images are those that the sets were made
of, where that is known: then random ones can be drawn, and images are prepared as they were. Else the set's own images
stand in their place, and nothing is drawn of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcpipe.api import sizes
from dcpipe.api.distilled_set import DistilledSet, Origin, same_transform
from dcpipe.api.labelled_images import ImagesLike, LabelledImages, LabelsLike, labelled_images
from dcpipe.api.running import run_jobs
from dcpipe.api.workspace import DIGITS, Workspace
from dcpipe.data import store
from dcpipe.data.store import Standardisation, Transform
from dcpipe.errors import UserError
from dcpipe.params.dataset import Dataset
from dcpipe.params.strict_yaml import Tree
from dcpipe.provenance import artifact
from dcpipe.workflow.job import Job

RANDOM_SETS = 3  # one draw may be lucky

ImagesAndLabels = tuple[ImagesLike, LabelsLike] | ImagesLike
TestLike = ImagesAndLabels | str


@dataclass(frozen=True, slots=True)
class Bench:
    """A dataset with test images. `has_real`: its training images are real ones."""

    workspace: Workspace
    dataset: str
    has_real: bool

    @property
    def config(self) -> Dataset:
        """The dataset's params."""
        return self.workspace.graph().library.dataset(self.dataset)[1]

    def job(self, one: DistilledSet, evaluation: str, network: str) -> Job:
        """The evaluation of a set under a protocol of the workspace."""
        origin = one.origin
        if origin and (origin.workspace, origin.dataset) == (self.workspace, self.dataset):
            cell = {name: origin.job.wildcards[name] for name in ("method", "ipc", "set")}
        else:
            cell = self._enter(one)
        graph = self.workspace.graph()
        return graph.make_job("evaluate", dataset=self.dataset, **cell, evaluation=evaluation, network=network)

    def random_jobs(self, ipc: int, evaluation: str, network: str) -> list[Job]:
        """The evaluations of some sets of so many random real images per class."""
        cell = {"dataset": self.dataset, "method": "random", "ipc": str(ipc)}
        graph, ends = self.workspace.graph(), {"evaluation": evaluation, "network": network}
        return [graph.make_job("evaluate", **cell, set=number, **ends) for number in range(RANDOM_SETS)]

    def transform(self) -> Transform:
        """How its images are prepared; makes the artifacts that know it."""
        graph = self.workspace.graph()
        data = graph.make_job("data", dataset=self.dataset)
        jobs, whitened = [data], self.config.whitening.fit_threads is not None
        if whitened:
            jobs.append(graph.make_job("whiten", dataset=self.dataset))
        run_jobs(graph, jobs)
        paths = [artifact.verified_entries(self.workspace.root / job.outputs[next(iter(job.outputs))]) for job in jobs]
        return store.transform(paths[0], paths[1] if whitened else None)

    def _enter(self, one: DistilledSet) -> dict[str, str]:
        """The set as a preset of the workspace: its method, ipc and number."""
        origin, facts, where = one.origin, self.config.facts, f"the set {one.label}"
        found, fitting = one.images.shape[1:], (facts.channels, facts.image_size, facts.image_size)
        if tuple(found) != fitting:
            remedy = "pass a set and test images of one size"
            raise UserError(
                f"its images are {_sizes(found)}; the test images {_sizes(fitting)}", where=where, remedy=remedy
            )
        if one.classes > facts.classes:
            problem = f"it has {one.classes} classes; the test images have {facts.classes}"
            raise UserError(problem, where=where, remedy="pass test images of every class")
        if one.synthetic.is_soft and one.classes < facts.classes:
            problem = f"its logits are of {one.classes} classes; the test images have {facts.classes}"
            raise UserError(problem, where=where, remedy="pass test images of these classes alone")
        step_size = one.synthetic.step_size.double()
        labels = {"logits" if one.synthetic.is_soft else "labels": one.labels}
        tensors = {"images": prepared(one, self.transform()), **labels, "step_size": step_size}
        name, digest = self.workspace.keep_tensors("given", tensors)
        tree: Tree = {
            "base": "random",
            "description": "A set that is given.",
            "label": one.label if origin else "Given",
            "matching": {
                "selection": {"kind": "given", "name": name, "digest": digest},
                "step_size": float(step_size),
            },
        }
        method = self.workspace.define("methods", tree, stem="given", name=name)
        return {"method": method, "ipc": str(images_a_class(one)), "set": "0"}


def images_a_class(one: DistilledSet) -> int:
    """The images that every class of a set has at least, and 1 where one has none."""
    counts = torch.bincount(one.synthetic.classes.long().cpu(), minlength=one.classes)
    return max(1, int(counts.min()))


def prepared(one: DistilledSet, transform: Transform) -> Tensor:
    """A set's images (N x C x H x W, float32) as networks see images that went through a transform.

    The same bits where the set's own transform is this one. Raises: UserError where one of two whitens.
    """
    if same_transform(one.transform, transform):
        return one.images
    if not isinstance(transform, Standardisation) or not isinstance(one.transform, Standardisation):
        problem = "its images are whitened, or those that it is tested on are, and not both in the same way"
        remedy = "test it on the dataset that it was made of"
        raise UserError(problem, where=f"the set {one.label}", remedy=remedy)
    pixels = 255.0 * one.transform.invert(one.images.double())
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (transform.mean_C, transform.std_C)
    )
    return ((pixels / 255.0 - mean) / std).float()


def bench_for(
    sets: Sequence[DistilledSet],
    test: TestLike | None,
    workspace: str | Path | None,
    train: ImagesAndLabels | None = None,
) -> Bench:
    """Where these sets are scored on these test images.

    Args:
        sets: one or more.
        test: images and labels, or the name of a dataset; None: the named dataset that a set was made of.
        workspace: a folder; None: that of the first set that was made here, or a temporary one.
        train: real images that random ones are drawn of; None: those that the first set was made of.

    Raises: UserError for images or names that are not possible.
    """
    origin = next((one.origin for one in sets if one.origin), None)
    place = origin.workspace if workspace is None and origin else Workspace.of(workspace)
    if test is None:
        return _own_bench(place, origin)
    if isinstance(test, str):
        place.refuse_unknown("datasets", test, "dataset")
        return Bench(place, test, has_real=True)
    tested = given_images(test, "test images")
    if train is not None:
        real = given_images(train, "training images")
        return _bench(place, tested, (real.pixels_NCHW, real.labels_N), {}, has_real=True)
    if origin:
        pixels = store.load_pixels(origin.train, "train")
        tree = origin.workspace.graph().library.dataset(origin.dataset)[0].tree()
        kept = {key: tree[key] for key in ("standardise", "whitening", "network")}
        arrays = pixels.pixels_NCHW.numpy(), pixels.labels_N.numpy()
        return _bench(place, tested, arrays, kept, has_real=True)
    transform = sets[0].transform
    if not isinstance(transform, Standardisation):
        problem = "its images are whitened, and the whitening of the test images is not known here"
        remedy = "test it on the dataset that it was made of"
        raise UserError(problem, where=f"the set {sets[0].label}", remedy=remedy)
    constants: Tree = {"kind": "constants", "mean": list(transform.mean_C), "std": list(transform.std_C)}
    return _bench(place, tested, _as_pixels(sets[0]), {"standardise": constants}, has_real=False)


def given_images(images: ImagesAndLabels, what: str) -> LabelledImages:
    """Images that somebody gives, with their labels. Raises: UserError."""
    if not isinstance(images, tuple):
        return labelled_images(images, None, what=what)
    if len(images) != 2:
        raise UserError(f"are {len(images)} things", where=what, remedy="pass (images, labels)")
    return labelled_images(*images, what=what)


def _own_bench(place: Workspace, origin: Origin | None) -> Bench:
    """The named dataset that a set was made of."""
    if origin is None or place.graph().library.dataset(origin.dataset)[1].split.test_per_class == 0:
        remedy = "pass test=(images, labels), or the name of a dataset"
        raise UserError("there are none", where="test images", remedy=remedy)
    return Bench(place, origin.dataset, has_real=True)


def _as_pixels(one: DistilledSet) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A set's own images as bytes."""
    pixels = (255 * one.pixels().clamp(0, 1)).round().to(torch.uint8)
    return pixels.cpu().numpy(), one.synthetic.classes.long().cpu().numpy()


def _bench(
    place: Workspace,
    tested: LabelledImages,
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    preparation: Tree,
    *,
    has_real: bool,
) -> Bench:
    """A dataset of these images to train and to test on."""
    pixels, labels = train
    if pixels.shape[1:] != tested.pixels_NCHW.shape[1:]:
        problem = f"are {_sizes(tested.pixels_NCHW.shape[1:])}; the others are {_sizes(pixels.shape[1:])}"
        raise UserError(problem, where="test images", remedy="pass test images of the size that the set has")
    missing = np.setdiff1d(np.arange(tested.classes), labels)
    if len(missing) or int(labels.max()) >= tested.classes:
        problem = f"have the labels 0 to {tested.classes - 1}; the others have {len(np.unique(labels))} classes"
        raise UserError(problem, where="test images", remedy="pass test images of the same classes")
    whole = LabelledImages(pixels, labels, tested.classes)
    source = f"scores-{whole.digest[:DIGITS]}-{tested.digest[:DIGITS]}"
    parts: dict[str, NDArray[np.generic]] = {"train_images": pixels, "train_labels": labels}
    parts |= {"test_images": tested.pixels_NCHW, "test_labels": tested.labels_N}
    digest = place.keep_arrays(source, parts)
    tree = sizes.dataset_tree(whole, source, digest, sizes.networks_for(whole.image_size)[0], None)
    tree["description"] = f"{len(tested.labels_N):,} test images, given as tensors."
    tree["split"] = {"seed": 0, "test_per_class": None, "validation_per_class": 0, "train_per_class": None}
    return Bench(place, place.define("datasets", {**tree, **preparation}, stem="scores"), has_real)


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
