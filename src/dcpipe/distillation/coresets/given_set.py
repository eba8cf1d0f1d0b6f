"""A set that is given, whoever made it: it enters as it is, with the same card, scores and report as any other.

The file is `NAME.safetensors` in the data root, in the layout of `dcpipe.distillation.synthetic_set`: `images` as
networks see them (standardised or whitened as the dataset is), and `labels` or `logits`. The step size is the preset's.

Legend: N images, C channels, H W pixels, K classes.
"""

from dataclasses import replace

import torch

from dcpipe.data import location
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.provenance.artifact import sha256

SUFFIX = ".safetensors"


def load_given_set(setting: Setting, *, name: str, digest: str, step_size: float) -> DistillationResult:
    """The set in the file, with this step size.

    Raises: UserError if the file is missing, has another digest, or does not fit the dataset.
    """
    place = location.data_path(setting.root, name)
    path = place.with_name(f"{place.name}{SUFFIX}")
    if not path.is_file():
        raise UserError("this file does not exist", where=str(path), remedy="put the set there, under this name")
    found = f"sha256:{sha256(path)}"
    if found != digest:
        problem = f"the set on this machine has the digest {found}; params state {digest}"
        raise UserError(problem, where=str(path), remedy="use the file with the digest in params, or change it there")
    read = synthetic_set.load(path, step_size)
    refuse_misfit(read, setting, str(path))
    labels = read.labels if read.is_soft else read.labels.long()
    synthetic = replace(read, images_NCHW=read.images_NCHW.float(), labels=labels, unaveraged_NCHW=None)
    synthetic = synthetic.to(setting.device)
    setting.facts["given"] = {"file": path.name, "digest": digest}
    return DistillationResult(synthetic, [(0, synthetic)])


def refuse_misfit(synthetic: SyntheticSet, setting: Setting, where: str) -> None:
    """Raises: UserError if images or labels are not such as the dataset has, or a value is not finite."""
    shape, train = tuple(synthetic.images_NCHW.shape[1:]), setting.train
    expected = tuple(train.images_NCHW.shape[1:])
    if shape != expected:
        problem = f"its images are {_format_shape(shape)}; the dataset's are {_format_shape(expected)}"
        raise UserError(problem, where=where, remedy="name the dataset that the set was made of")
    if not synthetic.images_NCHW.is_floating_point():
        problem = f"its images are {str(synthetic.images_NCHW.dtype).removeprefix('torch.')} numbers"
        remedy = (
            "write floating ones, standardised or whitened as the dataset is, or bring it in by `dcpipe import-set`"
        )
        raise UserError(problem, where=where, remedy=remedy)
    if not bool(torch.isfinite(synthetic.images_NCHW).all()):
        raise UserError("some pixels are not finite", where=where, remedy="check how the file was written")
    if synthetic.is_soft:
        if synthetic.labels.shape[1] != train.classes or not bool(torch.isfinite(synthetic.labels).all()):
            stated = _format_shape(tuple(synthetic.labels.shape))
            problem = f"its logits are {stated} or not finite; the dataset has {train.classes} classes"
            raise UserError(problem, where=where, remedy="store N x K finite logits")
    elif int(synthetic.labels.min()) < 0 or int(synthetic.labels.max()) >= train.classes:
        problem = f"its labels go from {int(synthetic.labels.min())} to {int(synthetic.labels.max())}"
        raise UserError(problem, where=where, remedy=f"use the labels 0 to {train.classes - 1}")


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
