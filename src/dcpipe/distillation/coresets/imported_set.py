"""A set that came from elsewhere: its numbers as they are where its makers prepared images as the dataset here does.

Pixels (uint8) are prepared as the dataset's own images. Numbers that were standardised by other constants are taken
back to pixels by those and prepared anew. The statement of whether numbers were whitened is compared with real images.

Legend: N images, C channels, H W pixels.
"""

import logging
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from dcpipe.data import location, whitening
from dcpipe.data.foreign import whitening_check
from dcpipe.data.foreign.foreign_set import ForeignFiles, ForeignSet, refuse_unfit
from dcpipe.data.foreign.set_layouts import read_sets
from dcpipe.data.source import digest_of
from dcpipe.data.store import Transform
from dcpipe.distillation.coresets.imported_config import FOLDER
from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError

if TYPE_CHECKING:
    from dcpipe.distillation.coresets.imported_config import ImportedSet

LOOKED_AT = 4000  # real images that a set is compared with
LARGEST = 3072  # numbers of an image of which a whitening is fitted only to compare
EPS = 0.1  # of that whitening: the papers' value

log = logging.getLogger("dcpipe")


def load_imported_set(setting: Setting, *, config: "ImportedSet", step_size: float) -> DistillationResult:
    """The set of this number in the files, with this step size.

    Raises: UserError if the files are missing, have another digest, do not fit the dataset, or are not prepared as the
    params say.
    """
    found, where = _read(setting, config)
    train = setting.train
    refuse_unfit(found, where, classes=train.classes, channels=train.channels, image_size=train.size)
    _refuse_other_ipc(found, setting, where)
    images = _prepared(found, setting, config, where)
    verdict = (
        "its pixels say that nothing was whitened"
        if found.are_pixels
        else _check_whitening(images, setting, config, where)
    )
    eta = torch.tensor(step_size, dtype=torch.float64)
    synthetic = SyntheticSet(images, found.logits_or_classes, eta).to(setting.device)
    setting.facts["imported"] = {
        "layout": found.layout,
        "digest": config.digest,
        "numbers": "pixels" if found.are_pixels else f"as networks see them, whitening {config.whitening}",
        "whitening_check": verdict,
        "labels": _labels_phrase(found),
        "step_size_in_files": found.step_size,
        "claims_of_files": dict(found.claims),
        "not_known": ["the method and its params", "the training images", "the seed", "the machine"],
    }
    return DistillationResult(synthetic, [(0, synthetic)])


def _read(setting: Setting, config: "ImportedSet") -> tuple[ForeignSet, str]:
    place = location.data_path(setting.root, FOLDER) / config.name
    if not place.is_dir():
        remedy = "put its files there, or run `dcpipe import-set` again"
        raise UserError("the files of this set are missing", where=str(place), remedy=remedy)
    files = read_sets(place)
    digest = digest_of(files.files)
    if digest != config.digest:
        problem = f"the files have the digest {digest}; params state {config.digest}"
        remedy = "put back the files that params state, or import these under another name by `dcpipe import-set`"
        raise UserError(problem, where=str(place), remedy=remedy)
    return _select_set(files, setting.set_index, str(place)), str(place)


def _select_set(files: ForeignFiles, index: int, where: str) -> ForeignSet:
    if index >= len(files.sets):
        problem = f"holds {len(files.sets)} set{'s' if len(files.sets) > 1 else ''}; set {index} is asked for"
        raise UserError(problem, where=where, remedy=f"write sets: {len(files.sets)} in the experiment, or lower --set")
    return files.sets[index]


def _refuse_other_ipc(foreign: ForeignSet, setting: Setting, where: str) -> None:
    """A set must not be called another number of images per class than it has."""
    a_class = foreign.images_per_class(setting.train.classes)
    if a_class != setting.ipc:
        problem = f"holds {len(foreign.labels)} images, {a_class} a class; {setting.ipc} a class are asked for"
        raise UserError(problem, where=where, remedy=f"write ipc: [{a_class}]")


def _prepared(foreign: ForeignSet, setting: Setting, config: "ImportedSet", where: str) -> Tensor:
    """The images as networks here see them (N x C x H x W, float32)."""
    transform = setting.transform
    if foreign.are_pixels:
        if config.whitening == "zca" or config.mean is not None:
            problem = "its images are pixels from 0 to 255, which are not whitened or standardised"
            raise UserError(problem, where=where, remedy="write whitening: none, mean: null, std: null in its preset")
        return transform.apply(foreign.images_NCHW)
    if config.mean is not None and config.std is not None:
        mean, std = (torch.tensor(one, dtype=torch.float64)[:, None, None] for one in (config.mean, config.std))
        return transform.apply(255.0 * (foreign.images_NCHW.double() * std + mean))
    if config.whitening != _whitening_kind(transform):
        problem = "its numbers are not whitened, and those of this dataset are"
        remedy = "state by which mean and std they were standardised, or use the dataset's variant without whitening"
        raise UserError(problem, where=where, remedy=remedy)
    return foreign.images_NCHW


def _check_whitening(images: Tensor, setting: Setting, config: "ImportedSet", where: str) -> str:
    """Whether pixel statistics agree with the stated whitening. Raises: UserError if they contradict it."""
    transform = setting.transform
    own, rows = (
        _whitening_kind(transform),
        setting.train.images_NCHW[_evenly_spaced_rows(len(setting.train.labels_N))].cpu(),
    )
    # numbers that were prepared anew are compared as they are now
    stated: Literal["none", "zca"] = own if config.mean is not None else config.whitening
    unwhitened, whitened = (
        (rows, _whitened(rows, transform)) if own == "none" else (_standardised(rows, transform), rows)
    )
    found = whitened is not None and whitening_check.whitening_distances(images.cpu(), unwhitened, whitened)
    if not found:
        return "cannot be checked: the images are too large, or too few or too much alike"
    verdict = found.verdict(stated)
    if verdict == "contradicts":
        other = "zca" if stated == "none" else "none"
        problem = (
            f"whitening {stated} is stated, and the pixels contradict: in standard deviations they are {found.text}"
        )
        raise UserError(problem, where=where, remedy=f"state whitening {other}, or pass the set that was meant")
    if verdict == "cannot be determined":
        log.warning("%s: whether the images were whitened cannot be determined (%s)", setting.name, found.text)
    return f"{verdict}: in standard deviations of single images, {found.text}"


def _whitening_kind(transform: Transform) -> Literal["none", "zca"]:
    return "zca" if "matrix" in transform.tensors() else "none"


def _evenly_spaced_rows(count: int) -> Tensor:
    """Rows spread over a part of so many images."""
    return torch.arange(0, count, max(1, count // LOOKED_AT))[:LOOKED_AT]


def _whitened(rows_NCHW: Tensor, transform: Transform) -> Tensor | None:
    """Standardised images as they would be whitened; None where the fit would take long."""
    pixels = transform.invert(rows_NCHW)
    if pixels[0].numel() > LARGEST:
        return None
    fitted = whitening.fit_by_eigh([pixels.flatten(1)], eps=EPS)
    return whitening.apply(fitted, pixels)


def _standardised(rows_NCHW: Tensor, transform: Transform) -> Tensor:
    """Whitened images as they would be standardised, a channel each."""
    pixels = transform.invert(rows_NCHW)
    std, mean = torch.std_mean(pixels, dim=(0, 2, 3), keepdim=True)
    return (pixels - mean) / std.clamp(min=torch.finfo(std.dtype).eps)


def _labels_phrase(foreign: ForeignSet) -> str:
    if not foreign.is_soft:
        return "classes"
    return "probabilities, kept as their logarithms" if foreign.are_probabilities else "logits"
