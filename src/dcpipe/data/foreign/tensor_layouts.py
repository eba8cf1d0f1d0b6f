"""Layouts of tensors: the `.pt` files of the public codes, `.npz`, and safetensors.

mtt, datm      images_best.pt, labels_best.pt and lr_best.pt beside each other, or those of an iteration
               (images_5000.pt, ...): what the trajectory-matching codes save. DATM's labels are logits
dc             res_*.pt: {"data": [[images, labels], ...]}, one pair an experiment: what the codes of DC, DSA and DM
               save
npz            arrays images and labels (or logits), and step_size, if there is one
safetensors    the same; sets and releases of dcpipe are such files
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dcpipe.data.bounded_files import npz_array, npz_names
from dcpipe.data.foreign.foreign_set import ForeignFiles, ForeignSet
from dcpipe.data.torch_files import read_torch_file
from dcpipe.errors import UserError

IMAGES = re.compile(r"images_(\w+)\.pt")
STEP_SIZES = ("lr", "syn_lr", "step_size")  # names of the files of a step size, before _best.pt
REMEDY = "pass a file that one of the public codes saved, or an .npz or safetensors file with images and labels"


def read_mtt(path: Path) -> ForeignFiles:
    """Images, labels and, where it is there, the step size of the trajectory-matching codes.

    Raises: UserError if the labels are missing, or a file holds something else.
    """
    match = IMAGES.fullmatch(path.name)
    if match is None:
        problem = "is not named as the trajectory-matching codes name their images"
        raise UserError(problem, where=str(path), remedy="call it images_best.pt, and its labels labels_best.pt")
    which = match[1]
    labels_path = path.with_name(f"labels_{which}.pt")
    if not labels_path.is_file():
        raise UserError(f"{labels_path.name} is not beside it", where=str(path), remedy="put its labels there")
    files = [(path.name, path), (labels_path.name, labels_path)]
    step_size = None
    for name in STEP_SIZES:
        beside = path.with_name(f"{name}_{which}.pt")
        if beside.is_file():
            step_size = _number(read_torch_file(beside), str(beside))
            files.append((beside.name, beside))
            break
    images = _images(read_torch_file(path), str(path))
    labels = _labels(read_torch_file(labels_path), str(labels_path))
    layout = "datm" if labels.is_floating_point() else "mtt"
    return ForeignFiles([ForeignSet(layout, images, labels, step_size)], files)


def read_dc(path: Path) -> ForeignFiles:
    """The sets of every experiment in a result file of DC, DSA or DM; accuracies in it are claims.

    Raises: UserError if the file holds something else.
    """
    found = read_torch_file(path)
    pairs = found.get("data") if isinstance(found, Mapping) else None
    if not isinstance(pairs, list) or not pairs:
        problem = 'is not a result of DC, DSA or DM: it has no list "data"'
        raise UserError(problem, where=str(path), remedy=REMEDY)
    claims, sets = _claimed_accuracies(found), []
    for number, pair in enumerate(pairs):
        where = f"{path}: data[{number}]"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UserError("is not a pair of images and labels", where=where, remedy=REMEDY)
        sets.append(ForeignSet("dc", _images(pair[0], where), _labels(pair[1], where), claims=claims))
    return ForeignFiles(sets, [(path.name, path)])


def read_npz(path: Path) -> ForeignFiles:
    """Arrays `images` (uint8, channels first, last or absent; or floating, channels first) and `labels` or `logits`.

    Raises: UserError if one is missing or of another kind.
    """
    arrays = {name: npz_array(path, name) for name in sorted(npz_names(path))}
    if "images" in arrays and arrays["images"].dtype == np.uint8:
        arrays["images"] = _channels_first(arrays["images"])
    kinds = "biuf"
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if array.dtype.kind in kinds}
    return _set_of_tensors("npz", tensors, path)


def read_safetensors(path: Path) -> ForeignFiles:
    """Tensors `images` and `labels` or `logits`, and `step_size`. Raises: UserError if one is missing."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        problem = f"is not a safetensors file ({error})"
        raise UserError(problem, where=str(path), remedy="pass another file") from error
    return _set_of_tensors("safetensors", tensors, path)


def _claimed_accuracies(found: object) -> dict[str, object]:
    """The mean accuracy of each network, in percent, over all experiments, as the file states them."""
    accuracies = found.get("accs_all_exps") if isinstance(found, Mapping) else None
    claims: dict[str, object] = {}
    for network, values in accuracies.items() if isinstance(accuracies, Mapping) else ():
        numbers = (
            [float(value) for value in values if isinstance(value, int | float)] if isinstance(values, list) else []
        )
        if numbers:
            claims[f"accuracy of {network}"] = 100 * sum(numbers) / len(numbers)
    return claims


def _set_of_tensors(layout: str, tensors: Mapping[str, Tensor], path: Path) -> ForeignFiles:
    labels = "logits" if "logits" in tensors else "labels"
    missing = [name for name in ("images", labels) if name not in tensors]
    if missing:
        problem = f"has no {missing[0]} (it has {', '.join(sorted(tensors)) or 'nothing'})"
        raise UserError(problem, where=str(path), remedy="name them images and labels (or logits)")
    where, step_size = str(path), None
    for name in STEP_SIZES:
        if name in tensors:
            step_size = _number(tensors[name], where)
            break
    found = ForeignSet(layout, _images(tensors["images"], where), _labels(tensors[labels], where), step_size)
    return ForeignFiles([found], [(path.name, path)])


def _images(value: object, where: str) -> Tensor:
    """uint8 as they are, floating ones as float32. Raises: UserError for anything else."""
    if (
        not isinstance(value, Tensor)
        or value.dim() != 4
        or not (value.is_floating_point() or value.dtype == torch.uint8)
    ):
        raise UserError(
            f"images are {_kind_phrase(value)}", where=where, remedy="pass N x C x H x W numbers, uint8 or float"
        )
    plain = value.detach().contiguous()
    return plain if plain.dtype == torch.uint8 else plain.float()


def _labels(value: object, where: str) -> Tensor:
    """Classes as int64, soft labels as they are. Raises: UserError for anything but a tensor of numbers."""
    if not isinstance(value, Tensor) or value.is_complex() or value.dtype == torch.bool:
        raise UserError(
            f"labels are {_kind_phrase(value)}", where=where, remedy="pass a tensor of classes, or of N x K numbers"
        )
    plain = value.detach().contiguous()
    return plain if plain.is_floating_point() else plain.long()


def _number(value: object, where: str) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    raise UserError(f"the step size is {_kind_phrase(value)}", where=where, remedy="pass one number")


def _kind_phrase(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of {'x'.join(map(str, value.shape)) or 'no dimension'}"
    return f"a {type(value).__name__}"


def _channels_first(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """N x C x H x W of uint8 images whose channels come first, last, or (grey ones) not at all."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    return images
