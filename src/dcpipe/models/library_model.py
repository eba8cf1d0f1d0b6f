"""A network of torchvision or timm as the networks here are: without memory, and with its features.

What differs from the library's own training: parameters start as PyTorch initialises the layers, not as the model's
class does; dropout is left out; batch norms take their running averages from the caller. Grey images are repeated to
three channels.

Legend: N images, C channels, H W pixels, K classes, F features.
"""

import torch
from torch import Tensor, nn

from dcpipe.errors import UserError
from dcpipe.models.flat import FlatModel
from dcpipe.models.layered import FeatureNetwork

CHANNELS = 3


class LibraryModel(FeatureNetwork):
    """A model whose last linear layer classifies images of one or three channels."""

    def __init__(self, model: nn.Module, channels: int = CHANNELS) -> None:
        super().__init__()
        if channels not in {1, CHANNELS}:
            raise ValueError(f"takes images of 1 or {CHANNELS} channels, not {channels}")
        self.model = model
        heads = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        if not heads:
            raise ValueError("has no linear layer that classifies")
        self._heads = (heads[-1],)  # in a tuple: it is registered as a part of the model already
        _forget_statistics(model)

    def features(self, x_NCHW: Tensor) -> Tensor:
        """What the last linear layer takes. Shapes: N C H W -> N F."""
        seen: list[Tensor] = []
        hook = self._heads[0].register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
        try:
            self(x_NCHW)
        finally:
            hook.remove()
        return seen[0].flatten(1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits. Shapes: N C H W -> N K."""
        logits_NK: Tensor = self.model(x_NCHW.expand(-1, CHANNELS, -1, -1) if x_NCHW.shape[1] == 1 else x_NCHW)
        return logits_NK


def training_problem(model: nn.Module, *, image_size: int) -> str | None:
    """Why a model (on the meta device) cannot be trained here on images of a size; None if it can."""
    try:
        wrapped = LibraryModel(model)
        FlatModel(wrapped)
        with torch.device("meta"):
            wrapped(torch.empty(2, CHANNELS, image_size, image_size))
    except (ValueError, RuntimeError, NotImplementedError, AssertionError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a model normalises by batch statistics."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())


def missing_package_error(package: str, where: str, extra: str) -> UserError:
    """The refusal where a library is not installed."""
    remedy = f"pip install 'dcpipe[{extra}]'"
    return UserError(f"{package} is not installed", where=where, remedy=remedy)


def _forget_statistics(model: nn.Module) -> None:
    """Batch norms without buffers: their running averages are handed in."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
