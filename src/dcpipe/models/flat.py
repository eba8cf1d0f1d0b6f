"""A network as a pure function of one vector that holds all of its parameters.

Legend: N images, C channels, H W pixels, K classes, F features, P parameters.
Trajectory matching measures distances between whole parameter vectors, differentiates through training steps
and stores checkpoints as rows: all of it is arithmetic on theta_P, and the module is only the recipe.

Batch norm. A network here has no memory: in training its batch norms use the statistics of the batch at hand.
Running averages are the caller's: start from `initial_statistics`, let `updated_statistics` take in what `observe` saw
of each batch, and hand them back as `statistics` to evaluate.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from dcpipe.errors import UserError
from dcpipe.models.layered import FeatureNetwork
from dcpipe.params.compute import Precision

Statistics = Mapping[str, Tensor]  # "<layer>.running_mean" and "<layer>.running_var" of every batch norm

MOMENTUM = 0.1  # of running statistics, PyTorch's default

_PREFIX = "network."  # where the network sits in `_Features`


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter tensor inside theta_P, and the interval its initial values are uniform in.

    `low` equals `high` where PyTorch starts from a constant (norms: scale 1, shift 0).
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    size: int
    low: float
    high: float


class FlatModel:
    """A network as a pure function of theta_P: differentiable (twice, and more), on any device, in any dtype.

    theta_P decides device and dtype; images must agree with it. The module needs no values: it may stay
    on the meta device. It is put into evaluation mode and belongs to this object afterwards.

    Args:
        module: a network with `features(x) -> N F` and `forward`, made of convolutions, linear layers and
            norms, whose batch norms do not track running statistics.
        precision: with bfloat16, convolutions and linear layers read and put out numbers rounded to it
            (torch.autocast); parameters and everything between these layers are float32. In float64 nothing is rounded.
    Raises: ValueError for a module with buffers, or with a layer whose initial distribution is unknown here.
    """

    def __init__(self, module: FeatureNetwork, precision: Precision = "float32") -> None:
        buffers = [name for name, _ in module.named_buffers()]
        if buffers:
            raise ValueError(f"a pure function cannot update {buffers[0]}: use track_running_stats=False")
        # eval mode lets a batch norm use statistics that are handed in; without any it uses the batch's own
        self._module = module.eval()
        self._features = _Features(self._module)
        if precision == "bfloat16":
            for layer in self._module.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    vars(layer)["forward"] = _in_bfloat16(layer.forward)
        self._norms: dict[str, _BatchNorm] = {
            name: layer for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)
        }
        self.layout: tuple[TensorSpec, ...] = tuple(_layout(module))
        self._sizes = [spec.size for spec in self.layout]

    @property
    def num_parameters(self) -> int:
        """P."""
        return sum(self._sizes)

    @property
    def has_running_statistics(self) -> bool:
        """Whether training and evaluation differ: the network has batch norms."""
        return bool(self._norms)

    def initial_parameters(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Fresh parameters on the CPU, distributed as PyTorch initialises the same layers.

        They are drawn in float32, tensor by tensor in the order of the layout, whatever `dtype` is: the same
        generator gives the same network in float64. The values are those PyTorch's own construction would
        draw from the same generator.
        Shapes: P. Source: Kaiming uniform with a = sqrt(5), that is U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
        """
        theta_P = torch.empty(self.num_parameters)
        for spec, values in zip(self.layout, torch.split(theta_P, self._sizes), strict=True):
            if spec.low == spec.high:
                values.fill_(spec.low)
            else:
                values.uniform_(spec.low, spec.high, generator=generator)
        return theta_P.to(dtype)

    def __call__(self, theta_P: Tensor, x_NCHW: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Logits. Shapes: P, N C H W -> N K.

        `statistics` None is training mode: batch norms use this batch. Otherwise they use these; networks
        without batch norm ignore the difference. Raises: ValueError if they are not this network's.
        """
        tensors = self._tensors(theta_P, statistics)
        logits_NK: Tensor = functional_call(self._module, tensors, (x_NCHW,))
        return logits_NK

    def features(self, theta_P: Tensor, x_NCHW: Tensor, statistics: Statistics | None = None) -> Tensor:
        """What the last linear layer classifies. Shapes: P, N C H W -> N F. `statistics` as in a call."""
        tensors = {f"{_PREFIX}{name}": value for name, value in self._tensors(theta_P, statistics).items()}
        features_NF: Tensor = functional_call(self._features, tensors, (x_NCHW,))
        return features_NF

    def unflatten(self, theta_P: Tensor) -> dict[str, Tensor]:
        """Every parameter tensor by name, as a view into theta_P. Raises: ValueError for a wrong length."""
        if theta_P.shape != (self.num_parameters,):
            raise ValueError(f"theta has shape {tuple(theta_P.shape)}, this network {self.num_parameters} parameters")
        # one split, not one slice a tensor: its gradient is one concatenation instead of a padded P a tensor
        pieces = torch.split(theta_P, self._sizes)
        return {spec.name: piece.view(spec.shape) for spec, piece in zip(self.layout, pieces, strict=True)}

    def flatten(self, tensors: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
        """theta_P from tensors by name, or from a sequence in the order of the layout.

        Raises: UserError naming the first tensor that is missing, extra or of another shape (the usual cause
        is a checkpoint of another network).
        """
        values = list(self._ordered(tensors)) if isinstance(tensors, Mapping) else list(tensors)
        if len(values) != len(self.layout):
            raise _mismatch(f"there are {len(values)} tensors; this network has {len(self.layout)}")
        for spec, value in zip(self.layout, values, strict=True):
            if tuple(value.shape) != spec.shape:
                raise _mismatch(f"{spec.name} has shape {tuple(value.shape)}; this network has {spec.shape}")
        return torch.cat([value.reshape(-1) for value in values])

    def initial_statistics(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Running statistics before any batch, on the CPU: mean 0, variance 1. Empty without batch norm."""
        result: dict[str, Tensor] = {}
        for name, layer in self._norms.items():
            width = layer.num_features
            result[f"{name}.running_mean"] = torch.zeros(width, dtype=dtype)
            result[f"{name}.running_var"] = torch.ones(width, dtype=dtype)
        return result

    def forward_with_statistics(self, theta_P: Tensor, x_NCHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits in training mode, and the mean and unbiased variance that each batch norm saw: one forward pass.

        Shapes: P, N C H W -> N K, and one value per channel under the keys of `initial_statistics`, without a graph.
        """
        seen: dict[str, Tensor] = {}

        def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                x = inputs[0].detach()
                seen[f"{name}.running_mean"] = x.mean((0, 2, 3))
                seen[f"{name}.running_var"] = x.var((0, 2, 3), correction=1)

            return hook

        hooks = [layer.register_forward_pre_hook(record(name)) for name, layer in self._norms.items()]
        try:
            logits_NK = self(theta_P, x_NCHW)
        finally:
            for hook in hooks:
                hook.remove()
        return logits_NK, seen

    @torch.no_grad()
    def batch_statistics(self, theta_P: Tensor, x_NCHW: Tensor) -> dict[str, Tensor]:
        """What `observe` sees of a batch, without the logits."""
        return self.forward_with_statistics(theta_P, x_NCHW)[1]

    def pack(self, statistics: Statistics) -> Tensor:
        """Statistics as one vector, in the order of `initial_statistics`; empty without batch norm."""
        names = self.initial_statistics()
        return torch.cat([statistics[name] for name in names]) if names else torch.zeros(0)

    def unpack(self, statistics_S: Tensor) -> dict[str, Tensor]:
        """What `pack` made a vector of. Raises: ValueError for a vector of another length."""
        names = self.initial_statistics()
        if statistics_S.numel() != sum(value.numel() for value in names.values()):
            raise ValueError("the statistics are not those of this network's batch norms")
        pieces = torch.split(statistics_S, [value.numel() for value in names.values()]) if names else ()
        return dict(zip(names, pieces, strict=True))

    def _tensors(self, theta_P: Tensor, statistics: Statistics | None) -> dict[str, Tensor]:
        tensors = self.unflatten(theta_P)
        if statistics is not None:
            expected = {f"{name}.running_{kind}" for name in self._norms for kind in ("mean", "var")}
            if set(statistics) != expected:
                raise ValueError("the statistics are not those of this network's batch norms")
            tensors |= statistics
        return tensors

    def _ordered(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        extra = sorted(set(tensors) - {spec.name for spec in self.layout})
        if extra:
            raise _mismatch(f"{extra[0]} is not a parameter of this network")
        for spec in self.layout:
            if spec.name not in tensors:
                raise _mismatch(f"{spec.name} is missing")
            yield tensors[spec.name]


def updated_statistics(running: Statistics, batch_statistics: Statistics) -> dict[str, Tensor]:
    """Running statistics after one more batch: new = (1 - momentum) old + momentum seen, as nn.BatchNorm2d has it."""
    return {name: torch.lerp(value, batch_statistics[name], MOMENTUM) for name, value in running.items()}


class _Features(nn.Module):
    """A network's features as a forward pass of its own, which is what a functional call can reach."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.network.features(x_NCHW)


def _in_bfloat16(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def rounded(x: Tensor) -> Tensor:
        # without a cache: a rounded weight belongs to one graph
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            return forward(x).to(x.dtype)

    return rounded


def _mismatch(problem: str) -> UserError:
    return UserError(problem, where="parameters", remedy="use parameters of this network and image size")


def _layout(module: nn.Module) -> Iterator[TensorSpec]:
    """Where each parameter lies, in the order of `named_parameters`."""
    offset = 0
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(prefix, recurse=False):
            low, high = _interval(layer, is_weight=name.endswith("weight"))
            shape, size = tuple(parameter.shape), parameter.numel()
            yield TensorSpec(name=name, shape=shape, offset=offset, size=size, low=low, high=high)
            offset += size


def _interval(layer: nn.Module, *, is_weight: bool) -> tuple[float, float]:
    """The interval of PyTorch's initial values, in its own order of operations: its last bits are kept."""
    if isinstance(layer, nn.GroupNorm | nn.LayerNorm | _BatchNorm):
        constant = 1.0 if is_weight else 0.0
        return constant, constant
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        raise ValueError(f"no initial distribution is known here for {type(layer).__name__}")
    fan_in = layer.weight[0].numel()
    gain = nn.init.calculate_gain("leaky_relu", math.sqrt(5))
    bound = math.sqrt(3.0) * (gain / math.sqrt(fan_in)) if is_weight else 1 / math.sqrt(fan_in)
    return -bound, bound
