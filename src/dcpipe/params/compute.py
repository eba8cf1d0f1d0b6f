"""How arithmetic is carried out: part of a result's identity, because other choices give other bits."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT, ThreadCount

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Arithmetic:
    """Numeric threads (never changed by the machine: fewer cores only oversubscribe) and precision."""

    threads: ThreadCount = Field(description="numeric threads; another number gives other bits")
    precision: Annotated[Precision, NeutralDefault("float32")] = Field(
        description="what convolutions and linear layers round to, all else is float32; tf32: on NVIDIA's devices alone"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DistillationCompute(Arithmetic):
    """Of a method: how inner steps run."""

    backend: Literal["eager", "compiled"] = Field(description="compiled: inner steps by torch.compile, other bits")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingCompute(Arithmetic):
    """Of experts and evaluations: how the gradient of a batch is taken."""

    backend: Literal["eager", "analytic"] = Field(
        description="analytic: gradients of ConvNets with instance norms are written out by hand, a fifth faster on a "
        "CPU, other bits; other networks as eager"
    )
