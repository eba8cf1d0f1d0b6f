"""Resume state of long stages: outside declared outputs, under a key of the job's identity, saved atomically.

Snakemake deletes outputs before a job runs, so state lives in `state/<key>/`. A file holds named tensors and a
JSON value, behind a SHA-256 of both; one that does not verify counts as absent. No pickle.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dcpipe.params import formats
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.stopping import saving

FORMAT = 3  # of state files; format 1 states no number, format 2 holds no facts, and both are the same in all else
_META, _FORMAT, _FACTS = "__meta__", "__format__", "__facts__"
_SECONDS = "seconds"  # the file that says what the job has taken so far


@dataclass(slots=True)
class ResumeState:
    """A job's resume state. `every_seconds` bounds what a killed run loses.

    `seconds_before`: what earlier runs of the job had taken when they last saved. `facts`: what the job's card will say
    as far as is known, saved with every state: a run that goes on near the end may have no step left to learn it from.
    """

    folder: Path
    every_seconds: float = 30.0
    seconds_before: float = field(init=False)
    facts: dict[str, object] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        try:
            seconds = float((self.folder / _SECONDS).read_text())
        except (OSError, ValueError):
            seconds = 0.0
        self.seconds_before = seconds if math.isfinite(seconds) and seconds > 0 else 0.0

    def save(self, name: str, tensors: dict[str, Tensor], meta: object = None) -> None:
        """Save named tensors and a JSON value, whole or not at all."""
        packed = dict(_unshare_memory(tensors))
        content = save(
            {**packed, _META: _json_tensor(meta), _FACTS: _json_tensor(self.facts), _FORMAT: torch.tensor(FORMAT)}
        )
        with saving():
            write_atomically(self.path(name), hashlib.sha256(content).digest() + content)
        self._last = time.monotonic()
        write_atomically(self.folder / _SECONDS, f"{self.seconds_before + self._last - self._started:.3f}".encode())

    def load(self, name: str) -> tuple[dict[str, Tensor], object] | None:
        """What was saved under a name; None if nothing was, or if it does not verify.

        Raises: NewerFormatError if a newer dcpipe saved it.
        """
        try:
            raw = self.path(name).read_bytes()
        except OSError:
            return None
        digest, content = raw[:32], raw[32:]
        if hashlib.sha256(content).digest() != digest:
            return None
        try:
            tensors = load(content)
        except SafetensorError:
            return None
        found = int(tensors.pop(_FORMAT, torch.tensor(1)))
        formats.checked_format(found, newest=FORMAT, where=str(self.path(name)))
        facts = json.loads(tensors.pop(_FACTS).numpy().tobytes()) if _FACTS in tensors else {}
        self.facts |= {name: value for name, value in facts.items() if name not in self.facts}
        meta = json.loads(tensors.pop(_META).numpy().tobytes())
        return tensors, meta

    def is_due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() - self._last >= self.every_seconds

    def clear(self) -> None:
        """Forget everything: the artifact is published."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """The file of a name."""
        return self.folder / f"{name}.state"


def _json_tensor(value: object) -> Tensor:
    """A JSON value as bytes."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _unshare_memory(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors on the CPU, each with memory of its own: safetensors refuses those that share some."""
    seen = set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        yield name, own.clone() if place in seen else own
        seen.add(place)
