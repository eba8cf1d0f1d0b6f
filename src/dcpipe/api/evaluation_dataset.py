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
from dcpipe.api.workspace import DIGEST_DIGITS, Workspace
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
class EvaluationDataset:
    """A dataset with test images. `has_real`: its training images are real ones."""

    workspace: Workspace
    dataset: str
    has_real: bool

    @property
    def config(self) -> Dataset:
        """The dataset's params."""
        return self.workspace.graph().library.dataset(self.dataset)[1]

    def job(self, distilled: DistilledSet, evaluation: str, network: str) -> Job:
        """The evaluation of a set under a protocol of the workspace."""
        origin = distilled.origin
        if origin and (origin.workspace, origin.dataset) == (self.workspace, self.dataset):
            cell = {name: origin.job.wildcards[name] for name in ("method", "ipc", "set")}
        else:
            cell = self._define_preset(distilled)
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
        paths = [artifact.verify_payload(self.workspace.root / job.outputs[next(iter(job.outputs))]) for job in jobs]
        return store.load_transform(paths[0], paths[1] if whitened else None)

    def _define_preset(self, distilled: DistilledSet) -> dict[str, str]:
        """The set as a preset of the workspace: its method, ipc and number."""
        origin, facts, where = distilled.origin, self.config.facts, f"the set {distilled.label}"
        found, fitting = distilled.images.shape[1:], (facts.channels, facts.image_size, facts.image_size)
        if tuple(found) != fitting:
            remedy = "pass a set and test images of one shape"
            raise UserError(
                f"its images are {_shape_text(found)}; the test images {_shape_text(fitting)}",
                where=where,
                remedy=remedy,
            )
        if distilled.classes > facts.classes:
            problem = f"it has {distilled.classes} classes; the test images have {facts.classes}"
            raise UserError(problem, where=where, remedy="pass test images of every class")
        if distilled.synthetic.is_soft and distilled.classes < facts.classes:
            problem = f"its logits are of {distilled.classes} classes; the test images have {facts.classes}"
            raise UserError(problem, where=where, remedy="pass test images of these classes alone")
        step_size = distilled.synthetic.step_size.double()
        labels = {"logits" if distilled.synthetic.is_soft else "labels": distilled.labels}
        tensors = {"images": retransform_images(distilled, self.transform()), **labels, "step_size": step_size}
        name, digest = self.workspace.keep_tensors("given", tensors)
        tree: Tree = {
            "base": "random",
            "description": "A set that is given.",
            "label": distilled.label if origin else "Given",
            "matching": {
                "selection": {"kind": "given", "name": name, "digest": digest},
                "step_size": float(step_size),
            },
        }
        method = self.workspace.define("methods", tree, stem="given", name=name)
        return {"method": method, "ipc": str(images_per_class(distilled)), "set": "0"}


def images_per_class(distilled: DistilledSet) -> int:
    """The images that every class of a set has at least, and 1 where one has none."""
    counts = torch.bincount(distilled.synthetic.class_labels.long().cpu(), minlength=distilled.classes)
    return max(1, int(counts.min()))


def retransform_images(distilled: DistilledSet, transform: Transform) -> Tensor:
    """A set's images (N x C x H x W, float32) as networks see images that went through a transform.

    The same bits where the set's own transform is this one. Raises: UserError where one of two whitens.
    """
    if same_transform(distilled.transform, transform):
        return distilled.images
    if not isinstance(transform, Standardisation) or not isinstance(distilled.transform, Standardisation):
        problem = "its images and the test images are not whitened in the same way"
        remedy = 'pass the name of the dataset that it was made of, as in test="cifar10-zca"'
        raise UserError(problem, where=f"the set {distilled.label}", remedy=remedy)
    pixels = 255.0 * distilled.transform.invert(distilled.images.double())
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (transform.mean_C, transform.std_C)
    )
    return ((pixels / 255.0 - mean) / std).float()


def evaluation_dataset_for(
    sets: Sequence[DistilledSet],
    test: TestLike | None,
    workspace: str | Path | None,
    train: ImagesAndLabels | None = None,
) -> EvaluationDataset:
    """Where these sets are scored on these test images.

    Args:
        sets: one or more.
        test: images and labels, or the name of a dataset; None: the named dataset that a set was made of.
        workspace: a folder; None: that of the first set that was made here, or a temporary one.
        train: real images that random ones are drawn of; None: those that the first set was made of.

    Raises: UserError for images or names that are not possible.
    """
    origin = next((one.origin for one in sets if one.origin), None)
    place = origin.workspace if workspace is None and origin else Workspace.open(workspace)
    if test is None:
        return _named_evaluation_dataset(place, origin)
    if isinstance(test, str):
        place.refuse_unknown("datasets", test, "dataset")
        return EvaluationDataset(place, test, has_real=True)
    tested = given_images(test, "test images")
    if train is not None:
        real = given_images(train, "training images")
        return _new_evaluation_dataset(place, tested, (real.pixels_NCHW, real.labels_N), {}, has_real=True)
    if origin:
        pixels = store.load_pixels(origin.train_path, "train")
        tree = origin.workspace.graph().library.dataset(origin.dataset)[0].tree()
        kept = {key: tree[key] for key in ("standardise", "whitening", "network")}
        arrays = pixels.pixels_NCHW.numpy(), pixels.labels_N.numpy()
        return _new_evaluation_dataset(place, tested, arrays, kept, has_real=True)
    transform = sets[0].transform
    if not isinstance(transform, Standardisation):
        problem = "its images are whitened, and the whitening of the test images is not known here"
        remedy = 'pass the name of the dataset that it was made of, as in test="cifar10-zca"'
        raise UserError(problem, where=f"the set {sets[0].label}", remedy=remedy)
    constants: Tree = {"kind": "constants", "mean": list(transform.mean_C), "std": list(transform.std_C)}
    return _new_evaluation_dataset(place, tested, _as_pixels(sets[0]), {"standardise": constants}, has_real=False)


def given_images(images: ImagesAndLabels, argument: str) -> LabelledImages:
    """Images that somebody gives, with their labels. Raises: UserError."""
    if not isinstance(images, tuple):
        return labelled_images(images, None, argument=argument)
    if len(images) != 2:
        raise UserError(f"are a tuple of {len(images)} items", where=argument, remedy="pass (images, labels)")
    return labelled_images(*images, argument=argument)


def _named_evaluation_dataset(workspace: Workspace, origin: Origin | None) -> EvaluationDataset:
    """The named dataset that a set was made of."""
    if origin is None or workspace.graph().library.dataset(origin.dataset)[1].split.test_per_class == 0:
        remedy = "pass test=(images, labels), or the name of a dataset"
        raise UserError("there are none", where="test images", remedy=remedy)
    return EvaluationDataset(workspace, origin.dataset, has_real=True)


def _as_pixels(distilled: DistilledSet) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A set's own images as bytes."""
    pixels = (255 * distilled.pixels().clamp(0, 1)).round().to(torch.uint8)
    return pixels.cpu().numpy(), distilled.synthetic.class_labels.long().cpu().numpy()


def _new_evaluation_dataset(
    workspace: Workspace,
    tested: LabelledImages,
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    preparation: Tree,
    *,
    has_real: bool,
) -> EvaluationDataset:
    """A dataset of these images to train and to test on."""
    pixels, labels = train
    if pixels.shape[1:] != tested.pixels_NCHW.shape[1:]:
        own, other = _shape_text(tested.pixels_NCHW.shape[1:]), _shape_text(pixels.shape[1:])
        problem = f"are {own}; the images to train on are {other}"
        raise UserError(problem, where="test images", remedy="pass training and test images of the set's shape")
    missing = np.setdiff1d(np.arange(tested.classes), labels)
    if len(missing) or int(labels.max()) >= tested.classes:
        problem = (
            f"have the labels 0 to {tested.classes - 1}; the images to train on have {len(np.unique(labels))} classes"
        )
        raise UserError(problem, where="test images", remedy="pass test images of the same classes")
    whole = LabelledImages(pixels, labels, tested.classes)
    source = f"scores-{whole.digest[:DIGEST_DIGITS]}-{tested.digest[:DIGEST_DIGITS]}"
    parts: dict[str, NDArray[np.generic]] = {"train_images": pixels, "train_labels": labels}
    parts |= {"test_images": tested.pixels_NCHW, "test_labels": tested.labels_N}
    digest = workspace.keep_arrays(source, parts)
    tree = sizes.dataset_tree(whole, source, digest, sizes.networks_for(whole.image_size)[0], None)
    tree["description"] = f"{len(tested.labels_N):,} test images, given as tensors."
    tree["split"] = {"seed": 0, "test_per_class": None, "validation_per_class": 0, "train_per_class": None}
    return EvaluationDataset(workspace, workspace.define("datasets", {**tree, **preparation}, stem="scores"), has_real)


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
