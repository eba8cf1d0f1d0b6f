"""Functions that are compiled whole, and how long that took."""

import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
log = logging.getLogger("dcpipe")


def compile_whole(function: Callable[Arguments, Result], name: str) -> Callable[Arguments, Result]:
    """The function compiled: one graph for each shape of its tensors, or an error.

    Code that quietly fell back to eager would give other bits. The first call of a shape compiles, and the log says how
    long it took; PyTorch keeps what it compiled on disk (TORCHINDUCTOR_CACHE_DIR), so the next job takes less.
    """
    torch.use_deterministic_algorithms(True)  # tells the compiler too
    compiled = torch.compile(function, fullgraph=True, dynamic=False)
    seen: set[tuple[object, ...]] = set()

    def call(*given: Arguments.args, **named: Arguments.kwargs) -> Result:
        shapes = (*(one.shape for one in given if torch.is_tensor(one)), *named.items())
        if shapes in seen:
            return compiled(*given, **named)
        began = time.monotonic()
        result = compiled(*given, **named)
        seen.add(shapes)
        log.info(
            "the %s's first call took %.1f s: it was compiled, or read from the cache", name, time.monotonic() - began
        )
        return result

    return call
