"""`dcpipe.distill`: a distilled set of tensors."""

import logging
from collections.abc import Mapping
from pathlib import Path

from dcpipe.api import sizes
from dcpipe.api.distilled_set import DistilledSet, set_of_job
from dcpipe.api.labelled_images import ImagesLike, LabelledImages, LabelsLike, labelled_images
from dcpipe.api.running import run_jobs
from dcpipe.api.workspace import DIGEST_DIGITS, Workspace
from dcpipe.commands.new.sizing import Design
from dcpipe.errors import UserError

log = logging.getLogger("dcpipe")


def distill(
    images: ImagesLike | str,
    labels: LabelsLike | None = None,
    *,
    method: str = "mtt",
    ipc: int = 1,
    workspace: str | Path | None = None,
    network: str | None = None,
    minutes: float = 10,
    params: Mapping[str, object] | None = None,
) -> DistilledSet:
    """Distil images into a few synthetic ones per class. The same call goes on where it was interrupted.

    Args:
        images: N x C x H x W, uint8 or floating in [0, 1]; a torch Dataset; or the name of a dataset of the workspace
            or of dcpipe, such as "digits".
        labels: N whole numbers from 0; None for a Dataset or a name.
        method: a preset; `dcpipe methods` lists them.
        ipc: images per class.
        workspace: a folder for everything that is made: a new or an empty one, or a project. None: a temporary one,
            which ends with the process.
        network: the network that is trained; None: one that fits the images.
        minutes: how long a usual machine with two cores should take, experts included. It sets the sizes: the more,
            the better the set. Has no effect on a dataset that is named.
        params: values of the preset to change, such as {"outer.iterations": 500}; {"seed": 1} gives another set of the
            same kind. `dcpipe params show` lists them.

    Raises: UserError, before anything is computed, for images, labels, names or values that are not possible.
    """
    _refuse_counts(ipc, minutes)
    if isinstance(images, str):
        if labels is not None:
            raise UserError("a dataset that is named has its own", where="labels", remedy="pass the name alone")
        given = None
    else:
        given = labelled_images(images, labels)
        _refuse_small_class(given, ipc)
        _refuse_constant(given)
    place = Workspace.open(workspace)
    place.refuse_unknown("methods", method, "method")
    if given is None:
        place.refuse_unknown("datasets", str(images), "dataset")
        dataset, chosen = str(images), sizes.define_variant(place, method, str(images), ipc, {}, params)
    else:
        design = sizes.design_of(given, minutes, network)
        dataset = _define_dataset(place, given, design, minutes)
        changes = sizes.method_changes(place, method, dataset, ipc, design, given)
        chosen = sizes.define_variant(place, method, dataset, ipc, changes, params)
    graph = place.graph()
    job = graph.make_job("distill", dataset=dataset, method=chosen, ipc=ipc, set=0)
    run_jobs(graph, [job])
    return set_of_job(place, job)


def _define_dataset(workspace: Workspace, labelled: LabelledImages, design: Design, minutes: float) -> str:
    """The name of the dataset."""
    rarest = min(labelled.counts)
    trained = design.trained if design.trained < rarest else None
    if trained is not None:
        log.warning("%s of %s images per class are trained on, to keep to %g minutes", trained, rarest, minutes)
    source = f"images-{labelled.digest[:DIGEST_DIGITS]}"
    digest = workspace.keep_arrays(source, {"images": labelled.pixels_NCHW, "labels": labelled.labels_N})
    tree = sizes.dataset_tree(labelled, source, digest, design.network, trained)
    return workspace.define("datasets", tree, stem="images")


def _refuse_counts(ipc: int, minutes: float) -> None:
    if not isinstance(ipc, int) or isinstance(ipc, bool) or ipc < 1:
        raise UserError(f"is {ipc!r}", where="ipc", remedy="pass a whole number from 1")
    if not 0 < minutes < float("inf"):
        raise UserError(f"is {minutes!r}", where="minutes", remedy="pass a number above 0")


def _refuse_small_class(labelled: LabelledImages, ipc: int) -> None:
    rarest = min(labelled.counts)
    if rarest < ipc:
        problem = f"{ipc} images per class are asked for; class {labelled.counts.index(rarest)} has {rarest}"
        raise UserError(problem, where="ipc", remedy=f"ask for at most {rarest}, or pass more images")


def _refuse_constant(labelled: LabelledImages) -> None:
    for channel in range(labelled.channels):
        pixels = labelled.pixels_NCHW[:, channel]
        if pixels.min() == pixels.max():
            problem = f"channel {channel + 1} of {labelled.channels} has one value in every pixel of all images"
            raise UserError(problem, where="images", remedy="pass images that vary in every channel; grey ones have 1")
