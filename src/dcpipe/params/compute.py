"""How arithmetic is carried out: part of a result's identity, because other choices give other bits."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.schema import STRICT, ThreadCount

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Compute:
    """Numeric threads (never changed by the machine: fewer cores only oversubscribe), backend and precision."""

    threads: ThreadCount = Field(description="numeric threads; another number gives other bits")
    backend: Literal["eager", "compiled"] = Field(description="compiled: inner steps by torch.compile, other bits")
    precision: Annotated[Precision, NeutralDefault("float32")] = Field(
        description="what convolutions and linear layers round to, all else is float32; tf32: on NVIDIA's devices alone"
    )
