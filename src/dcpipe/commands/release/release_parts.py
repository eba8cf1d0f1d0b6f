"""The parts of a release, read from bytes that somebody may have made up: shapes, ranges and finiteness are looked at.

Legend: N images, C channels, H W pixels, K classes, D pixels of an image.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from dcpipe.commands.release import release_folder
from dcpipe.data.store import Standardisation, Transform, WhiteningTransform
from dcpipe.data.whitening import Whitening
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance.json_value import JsonValue

MAX_CARD = 2**26  # bytes; a card holds the cards of three artifacts


def read_card(content: bytes, where: Path) -> JsonValue:
    """What a release says of itself.

    Raises: CorruptArtifactError if it is not the card of a release; UserError if a newer dcpipe wrote it.
    """
    try:
        if len(content) > MAX_CARD:
            raise ValueError("is too long")
        card = JsonValue(json.loads(content), str(where))
    except (ValueError, RecursionError) as error:
        raise _corrupt_error(where, "is not a readable card") from error
    if not isinstance(card.value, dict):
        raise _corrupt_error(where, "is not a card")
    release_folder.refuse_format(card.value.get("format"), str(where))
    try:
        card["images"]["shape"].integers(), _classes(card), card["labels"].text()
    except CorruptArtifactError as error:
        raise _corrupt_error(where, f"is not the card of a release: {error.problem} ({error.where})") from error
    return card


def _classes(card: JsonValue) -> int:
    """K: a card holds it, or the names of the classes."""
    classes = card["classes"]
    return len(classes.elements()) if isinstance(classes.value, list) else classes.integer()


def read_set(content: bytes, where: Path, card: JsonValue) -> SyntheticSet:
    """Images, labels and step size.

    Raises: CorruptArtifactError if they have other shapes than the card says, or values that no network can use.
    """
    tensors = _tensors(content, where, ("images", "labels", "step_size"))
    images, labels, step_size = tensors["images"], tensors["labels"], tensors["step_size"]
    shape, classes = card["images"]["shape"].integers(), _classes(card)
    is_soft = labels.dim() == 2
    if classes < 1:
        raise _corrupt_error(where, f"has {classes} classes, as its card says")
    if images.dim() != 4 or tuple(images.shape) != shape or images.dtype != torch.float32 or not images.numel():
        raise _corrupt_error(
            where, f"has images of {_tensor_text(images)}; its card says float32 of {_shape_text(shape)}"
        )
    if is_soft and (tuple(labels.shape) != (len(images), classes) or not labels.is_floating_point()):
        raise _corrupt_error(
            where, f"has logits of {_tensor_text(labels)} for {len(images)} images of {classes} classes"
        )
    if not is_soft and (tuple(labels.shape) != (len(images),) or labels.dtype != torch.int64):
        raise _corrupt_error(where, f"has labels of {_tensor_text(labels)} for {len(images)} images")
    if not is_soft and not bool(((labels >= 0) & (labels < classes)).all()):
        raise _corrupt_error(where, f"has labels outside of its {classes} classes")
    if step_size.numel() != 1 or not step_size.is_floating_point() or not _is_positive(step_size):
        raise _corrupt_error(where, "has a step size that is not one number above 0")
    for name, tensor in (("images", images), ("labels", labels)):
        if not bool(torch.isfinite(tensor).all()):
            raise _corrupt_error(where, f"has {name} that are not finite")
    return SyntheticSet(images, labels, step_size)


def read_transform(content: bytes, where: Path, *, channels: int, size: int) -> Transform:
    """What test images go through.

    Raises: CorruptArtifactError if it is neither a standardisation of these channels nor a whitening of such images.
    """
    tensors = _tensors(content, where, ("mean",))
    length = channels * size * size
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise _corrupt_error(where, f"has a {name} that is not finite")
    mean = tensors["mean"]
    if "matrix" in tensors:
        matrix = tensors["matrix"]
        if tuple(mean.shape) != (length,) or tuple(matrix.shape) != (length, length):
            raise _corrupt_error(
                where, f"has a whitening of {_shape_text(tuple(matrix.shape))} for images of {length} pixels"
            )
        try:
            inverse = torch.linalg.inv(matrix)
        except RuntimeError as error:
            raise _corrupt_error(where, "has a whitening that cannot be inverted") from error
        return WhiteningTransform(Whitening(mean, matrix, inverse, eps=float("nan")))
    std = tensors.get("std")
    if std is None or tuple(mean.shape) != (channels,) or tuple(std.shape) != (channels,) or not _is_positive(std):
        raise _corrupt_error(
            where, f"lacks a finite mean, or a standard deviation above 0, for one of its {channels} channels"
        )
    return Standardisation(tuple(mean.tolist()), tuple(std.tolist()))


def _tensors(content: bytes, where: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors in a safetensors file. Its reader compares what the header declares with what is there."""
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _corrupt_error(where, f"is not a safetensors file ({str(error).splitlines()[0]})") from error
    for name in names:
        if name not in tensors:
            raise _corrupt_error(where, f"has no {name}")
    return tensors


def _is_positive(tensor: Tensor) -> bool:
    return bool((torch.isfinite(tensor) & (tensor > 0)).all())


def _tensor_text(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of {_shape_text(tuple(tensor.shape))}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "no length"


def _corrupt_error(where: Path, problem: str) -> CorruptArtifactError:
    remedy = (
        "copy or download the whole released folder again; if that does not help, ask its author to release it again"
    )
    return CorruptArtifactError(problem, where=str(where), remedy=remedy)
