"""A preset's matching objective on tensors, without jobs: its loss and the gradients of a synthetic set.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from dcpipe.api import sizes
from dcpipe.api.labelled_images import ImagesLike, LabelsLike, labelled_images
from dcpipe.api.workspace import Workspace
from dcpipe.data.store import Images, Moments
from dcpipe.distillation.episodes import Episode, Matching
from dcpipe.distillation.matching_results import MatchingResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet, real_images
from dcpipe.errors import UserError
from dcpipe.models.flat import FlatModel
from dcpipe.params.strict_yaml import Tree
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class MatchingObjective:
    """A matching of the real images `train`, and `initial_set`: real images to begin with.

    Images are standardised by the real ones' mean and deviation per channel. Every draw is named after the iteration,
    so an iteration is the same whenever it is asked for.
    """

    matching: Matching
    train: Images
    initial_set: SyntheticSet
    model: FlatModel = field(repr=False)

    def draw(self, iteration: int) -> Episode:
        """What an iteration imitates: its networks, real images and augmentation."""
        return self.matching.draw_episode(iteration, len(self.initial_set.labels))

    def __call__(self, synthetic: SyntheticSet, iteration: int = 0) -> MatchingResult:
        """The matching loss (0-d) of a set in an iteration, and its gradients: `.loss`, `.gradients.images`."""
        return self.draw(iteration).evaluate(synthetic)


def matching_objective(
    method: str,
    images: ImagesLike,
    labels: LabelsLike | None = None,
    *,
    ipc: int = 1,
    network: str | None = None,
    seed: int = 0,
    params: Mapping[str, object] | None = None,
) -> MatchingObjective:
    """The matching of a preset that trains or draws its own networks: gradient, distribution or feature matching.

    Args:
        method: the preset, such as "dc", "dsa", "dm" or "cafe", with its values for digits.
        images: N x C x H x W, uint8 or floating in [0, 1], or a torch Dataset.
        labels: N whole numbers from 0.
        ipc: images per class of the synthetic set.
        network: the networks' name; None: one that fits the images.
        seed: root of every draw.
        params: values of the preset to change, such as {"matching.real_batch": 128}.

    Raises: UserError for images or values that are not possible, and for a preset that matches experts: see
        `dcpipe.distillation.hypergradient` and `dcpipe.distillation.distances.trajectory_distance` for those.
    """
    given = labelled_images(images, labels)
    place = Workspace.open(None)
    place.refuse_unknown("methods", method, "method")
    name = network or sizes.networks_for(given.image_size)[1]
    tree = sizes.dataset_tree(given, "given", f"sha256:{given.digest}", name, None)
    dataset = place.define("datasets", tree, stem="given")
    graph = place.graph()
    weights = graph.library.method(method, dataset, ipc)[0].leaves.get("matching.layer_weights")
    changes: Tree = {"matching": {"layer_weights": sizes.fit_layer_weights(weights.value, name)}} if weights else {}
    chosen = sizes.define_variant(place, method, dataset, ipc, changes, params)
    graph = place.graph()
    config = graph.library.method(chosen, dataset, ipc)[1]
    if config.outer is None or config.matching.network_name is None:
        problem = "needs experts, which are not made here" if config.outer else "chooses images and matches nothing"
        raise UserError(
            f"the preset {method} {problem}", where="method", remedy="choose dc, dsa, dm, cafe or a gm preset"
        )
    graph.make_job("distill", dataset=dataset, method=chosen, ipc=ipc, set=0)  # with every check of planning
    moments = Moments.zero(given.channels)
    moments.add(given.pixels_NCHW)
    transform = moments.standardisation()
    standardised = transform.apply(torch.from_numpy(given.pixels_NCHW))
    train = Images(standardised, torch.from_numpy(given.labels_N), given.classes)
    stream = Stream.root(seed, "matching", method)
    network_name = name if config.matching.network_name == "native" else config.matching.network_name
    state = ResumeState(place.root / "state" / "none")
    device = torch.device("cpu")
    setting = Setting(config, train, transform, ipc, 0, stream, device, state, method, network_name, root=place.root)
    first_images, first_labels = real_images(train, ipc, stream.child("first"))
    eta = torch.tensor(config.outer.step_size.initial, dtype=torch.float64)
    first = SyntheticSet(first_images, first_labels, eta)
    return MatchingObjective(config.matching.build(setting), train, first, setting.model())
