"""A distilled set in somebody's hands: a torch Dataset with the transform of its test images.

Legend: N images, C channels, H W pixels, K classes.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dcpipe.api.workspace import Workspace
from dcpipe.commands.release import make_release
from dcpipe.commands.release.read_release import ReleasedSet
from dcpipe.data import store
from dcpipe.data.store import Transform
from dcpipe.distillation import preview, synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.workflow.job import Job

COLUMNS = 10  # of a picture of one image per class


@dataclass(frozen=True, slots=True)
class Origin:
    """The workspace and the job that made a set."""

    workspace: Workspace
    job: Job

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.job.wildcards["dataset"]

    @property
    def train_path(self) -> Path:
        """The artifact of the real images, verified."""
        return artifact.verify_payload(self.workspace.root / self.job.input("train"))

    @property
    def whitening_path(self) -> Path | None:
        """The artifact of the whitening, verified; None where images are standardised."""
        whitened = "whitening" in self.job.inputs
        return artifact.verify_payload(self.workspace.root / self.job.input("whitening")) if whitened else None


class DistilledSet(ReleasedSet):
    """A distilled set: items are an image (C x H x W, float32) and its label (0-d, int64), or logits (K).

    `synthetic` holds all of it: `images_NCHW`, `labels`, `step_size`. `test_transform` brings real images into the
    form in which networks trained on this set expect them. `card` says how it was made.
    """

    def __init__(
        self,
        synthetic: SyntheticSet,
        transform: Transform,
        card: dict[str, object],
        *,
        label: str = "given",
        origin: Origin | None = None,
    ) -> None:
        super().__init__(synthetic, transform, card)
        self.label, self.origin = label, origin
        self.scored: tuple[Workspace, Job] | None = None  # the last evaluation

    def __repr__(self) -> str:
        images = " x ".join(map(str, self.synthetic.images_NCHW.shape))
        soft = ", soft labels" if self.synthetic.is_soft else ""
        return f"<DistilledSet {self.label}: {images}, {self.classes} classes{soft}, step size {self.step_size:.3g}>"

    @property
    def images(self) -> Tensor:
        """The images as networks see them (N x C x H x W, float32)."""
        return self.synthetic.images_NCHW

    @property
    def labels(self) -> Tensor:
        """The labels (N, int64), or logits (N x K) whose softmax is the target."""
        return self.synthetic.labels

    @property
    def classes(self) -> int:
        """K."""
        labels = self.synthetic.labels
        return int(labels.shape[1]) if self.synthetic.is_soft else int(labels.max()) + 1

    @property
    def history(self) -> list[dict[str, float]]:
        """A row per iteration: loss, step size, norms of gradients; empty for a set that was not made here."""
        if self.origin is None:
            return []
        path = self.origin.workspace.root / self.origin.job.outputs["history"]
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]

    def show(self) -> Image.Image:
        """The images as one picture, clipped for the eye only; a notebook displays it.

        A row has the images of a class, or ten images where each class has one.
        """
        rows, count = self.synthetic.class_labels.cpu(), self.classes
        if len(rows) == len(set(rows.tolist())):
            rows = torch.arange(len(rows)) // COLUMNS
            count = int(rows[-1]) + 1
        return Image.fromarray(preview.image_grid(self.pixels().cpu(), rows, count).numpy())

    def save(self, folder: str | Path) -> Path:
        """Make a release of the set: a folder that others can train on without dcpipe. Returns the folder.

        It states the accuracy of the last `dcpipe.evaluate`, with its protocol.
        Raises: UserError if the set was not evaluated, the folder exists, or train.py cannot express the protocol.
        """
        if self.scored is None:
            problem = "a release states the accuracy to expect, and this set was not evaluated"
            raise UserError(problem, where="save", remedy="call dcpipe.evaluate(set, test=...) first")
        workspace, job = self.scored
        make_release.release(workspace.graph(), job, Path(folder))
        return Path(folder)


def set_of_job(workspace: Workspace, job: Job) -> DistilledSet:
    """The set that a job of the distill stage has made."""
    origin = Origin(workspace, job)
    path = artifact.verify_payload(workspace.root / job.outputs["synthetic"])
    transform = store.load_transform(origin.train_path, origin.whitening_path)
    card = artifact.read_card(path)
    label = job.section("method", Method).label
    return DistilledSet(synthetic_set.load(path), transform, card, label=label, origin=origin)


def same_transform(one: Transform, other: Transform) -> bool:
    """Whether two transforms do the same to every image."""
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
