"""How arithmetic is carried out: part of a result's identity, because other choices give other bits."""

from typing import Literal

from pydantic.dataclasses import dataclass

from dcpipe.params.schema import STRICT, Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Compute:
    """Numeric threads (never changed by the machine: fewer cores only oversubscribe), backend and precision."""

    threads: Count
    backend: Literal["eager", "compiled"]
