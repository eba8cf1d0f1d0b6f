"""`dcpipe release`: a synthetic set as a folder that anybody can train on, with the accuracy to expect.

    set.safetensors         images (N x C x H x W, float32, as networks see them), labels (N, int64; or logits, N x K)
                            and step_size
    transform.safetensors   the transform of test images: mean and std per channel, or a whitening's mean and matrix
    images/class-<k>.png    the images of a class, clipped for display only
    card.json               protocol, expected accuracy, provenance
    train.py                plain PyTorch that trains on it (augment.py beside it, where the protocol augments)
    README.md, SHA256SUMS

The same artifacts make the same bytes.
"""

import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from dcpipe.commands.release import release_folder, script
from dcpipe.data import store
from dcpipe.data.store import Transform
from dcpipe.distillation import preview, synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import RefusedError
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.provenance import artifact, staleness
from dcpipe.provenance.card_fields import Card, facts_of
from dcpipe.provenance.json_value import JsonValue
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

SET, TRANSFORM, CARD = "set.safetensors", "transform.safetensors", "card.json"
COLUMNS = 10  # of a class's picture


@dataclass(frozen=True, slots=True)
class ReleaseParts:
    """The artifacts and jobs that a release is made of."""

    scored: Job
    made: Job
    synthetic: SyntheticSet
    transform: Transform
    scores: JsonValue
    cards: dict[str, Card]
    classes: int

    @property
    def protocol(self) -> Evaluation:
        """How the set was scored."""
        return self.scored.section("evaluation", Evaluation)

    @property
    def network(self) -> str:
        """The network that it was scored with."""
        return self.scored.section("network", str)

    @property
    def expected(self) -> str:
        """The accuracy to expect, as text for people."""
        mean, std = self.scores["mean"].number(), self.scores["std"].number()
        networks, protocol = self.scores["n"].integer(), self.scored.wildcards["evaluation"]
        selection = self.scores["selection"].text()
        chosen = "" if selection == "last" else f", chosen by {selection}"
        measured = f"(n = {networks} networks, protocol {protocol}, {self.network}{chosen})"
        return f"{mean:.1f} +- {std:.1f} % on {self.num_test_images} test images {measured}"

    @property
    def num_test_images(self) -> int:
        """How many test images there are."""
        return facts_of(self.cards["scores"])["test_images"].integer()


def release(graph: Graph, scored: Job, to: Path) -> str:
    """Make the folder `to` of the set that a job of the evaluate stage has scored. Returns the expected accuracy.

    Raises: UserError if the folder exists or the plain script cannot express the protocol; RefusedError if an
    artifact was not made by the present params and code.
    """
    release_folder.refuse_existing(to)
    file = f"params/evaluations/{scored.wildcards['evaluation']}.yaml"
    script.refuse_unwritable_script(scored.section("evaluation", Evaluation), scored.section("network", str), file)
    parts = gather_parts(graph, scored)
    release_folder.publish(to, _content(parts))
    return parts.expected


def gather_parts(graph: Graph, scored: Job) -> ReleaseParts:
    """What a release of a scored set is made of.

    Raises: RefusedError if an artifact was not made by the present params and code.
    """
    made = graph.job_that_makes(next(iter(scored.inputs["synthetic"])))
    for job, problem in (
        (made, _params_problem(made, graph.root)),
        (scored, staleness.staleness_problem(scored, graph.root)),
    ):
        if problem:
            remedy = f"make it with `{job.command.split(' --log ')[0]}`, or restore it with `dvc checkout`"
            raise RefusedError(f"only current artifacts can be released: {problem}", remedy=remedy)
    return _gather(graph, scored, made)


def _params_problem(distill_job: Job, root: Path) -> str | None:
    """The set's own inputs, such as experts, may be absent."""
    problem = staleness.params_difference(distill_job, root)
    return problem and f"{distill_job.folder}: {problem}"


def _gather(graph: Graph, scored: Job, distill_job: Job) -> ReleaseParts:
    root = graph.root
    scores_file = artifact.verify_payload(root / scored.outputs["scores"], every_digest=True)
    scores = JsonValue(json.loads(scores_file.read_text()), str(scores_file))
    path = artifact.verify_payload(root / scored.input("synthetic"), every_digest=True)
    iteration = scores.get("iteration")
    if iteration is not None:
        synthetic = dict(synthetic_set.load_snapshots(path))[iteration.integer()]
    else:
        synthetic = synthetic_set.load(path)
    train = artifact.verify_payload(root / scored.input("train"))
    whitened_by = None
    if "whitening" in scored.inputs:
        whitened_by = artifact.verify_payload(root / scored.input("whitening"), every_digest=True)
    cards = {
        "synthetic": artifact.read_card(root / distill_job.outputs["synthetic"]),
        "scores": artifact.read_card(root / scored.outputs["scores"]),
        "data": artifact.read_card(train),
    }
    classes = store.num_classes(train)
    return ReleaseParts(
        scored, distill_job, synthetic, store.load_transform(train, whitened_by), scores, cards, classes
    )


def _content(parts: ReleaseParts) -> dict[str, bytes]:
    images = parts.synthetic.images_NCHW
    transform, pixels = parts.transform.tensors(), parts.transform.invert(images)
    _, channels, size, _ = images.shape
    scripts = script.script_files(
        parts.protocol,
        rate=_rate(parts),
        network_body=script.network_source(parts.network, channels=channels, image_size=size, classes=parts.classes),
        whitened="matrix" in transform,
        soft=parts.synthetic.is_soft,
        test_shape=f"N x {channels} x {size} x {size}",
        test=_test_description(parts),
        expected=parts.expected,
    )
    set_ = {"images": images, "labels": parts.synthetic.labels, "step_size": parts.synthetic.step_size}
    return {
        SET: save({name: tensor.contiguous() for name, tensor in set_.items()}),
        TRANSFORM: save(transform),
        CARD: (json.dumps(release_card(parts), indent=1, sort_keys=True) + "\n").encode(),
        "README.md": _readme(parts).encode(),
        **{name: text.encode() for name, text in scripts.items()},
        **_pictures(pixels, parts.synthetic.class_labels, parts.classes),
    }


def _rate(parts: ReleaseParts) -> float | None:
    """The protocol's rate, or the one chosen by its search; None: the set's own step size."""
    config = parts.protocol.learning_rate
    if config.num_candidates > 1:
        return parts.scores["learning_rate"].number()
    return config.constant_rate


def _pictures(pixels_NCHW: Tensor, labels_N: Tensor, classes: int) -> dict[str, bytes]:
    pictures = {}
    for label in range(classes):
        own = pixels_NCHW[labels_N == label]
        if len(own):
            rows = torch.arange(len(own)) // COLUMNS
            picture = io.BytesIO()
            canvas = preview.image_grid(own, rows, math.ceil(len(own) / COLUMNS))
            Image.fromarray(canvas.numpy()).save(picture, format="PNG")
            pictures[f"images/class-{label:0{len(str(classes - 1))}}.png"] = picture.getvalue()
    return pictures


def _test_description(parts: ReleaseParts) -> str:
    dataset = parts.scored.wildcards["dataset"]
    return f"the test images of {dataset}, as `dcpipe test-images {dataset} test.npz` writes them"


def release_card(parts: ReleaseParts) -> Card:
    """What card.json says of a released set."""
    wildcards, method, synthetic = parts.made.wildcards, parts.made.section("method", Method), parts.synthetic
    names = facts_of(parts.cards["data"]).get("classes")
    return {
        "format": release_folder.FORMAT,
        "dataset": wildcards["dataset"],
        "method": {"name": wildcards["method"], "label": method.label, "description": method.description},
        "images_per_class": int(wildcards["ipc"]),
        "set": int(wildcards["set"]),
        "images": {"shape": list(synthetic.images_NCHW.shape), "are": parts.transform.description},
        "labels": "logits whose softmax is the target" if parts.synthetic.is_soft else "classes",
        "classes": parts.classes if names is None else [name.text() for name in names.elements()],
        "step_size": float(synthetic.step_size),
        "network": parts.network,
        "protocol": {"name": parts.scored.wildcards["evaluation"], **asdict(parts.protocol)},
        "expected": {**parts.scores.mapping(), "unit": "percent of the test images", "std_is": "the population's"},
        "test": {"images": parts.num_test_images, "are": _test_description(parts)},
        "made_by": {job.stage: job.command.split(" --log ")[0] for job in (parts.made, parts.scored)},
        "cards": parts.cards,
    }


def _readme(parts: ReleaseParts) -> str:
    wildcards, label = parts.made.wildcards, parts.made.section("method", Method).label
    return f"""# {wildcards["dataset"]} in {len(parts.synthetic.labels)} images ({label})

A network trained on these images alone is expected to reach {parts.expected}.

```sh
sha256sum --check SHA256SUMS
python train.py test.npz           # plain PyTorch; needs torch, safetensors, numpy
```

`test.npz` holds {_test_description(parts)}: `images` (uint8) and `labels`.
The images in `{SET}` are {parts.transform.description}: test images must go through `{TRANSFORM}`, as in `train.py`.
With dcpipe: `released = dcpipe.load("FOLDER")` is a torch Dataset, and `released.test_transform` what test images need.
`{CARD}` holds the protocol, every single accuracy and where each byte comes from.

Another network than that of `train.py` needs a learning rate of its own. It learns most from so few images if they are
shifted, turned and scaled a little at every step, if its first layers do not shrink small images (a ResNet: a first
convolution of 3x3 without a stride, and no pooling after it), and if the learning rate falls to zero.
"""
