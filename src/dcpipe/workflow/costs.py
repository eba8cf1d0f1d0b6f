"""What a job cost: seconds, CPU seconds, peak bytes and device, in a side file that no digest knows of."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from dcpipe.provenance.durable import write_json


@dataclass(frozen=True, slots=True)
class MeasuredCosts:
    """What a job took."""

    seconds: float
    peak_bytes: int
    device: str


def write_costs(path: Path, *, seconds: float, peak_bytes: int, device: str, cpu_seconds: float | None = None) -> None:
    """Note what a job cost; `cpu_seconds`, of all threads and child processes, only where one process did it all."""
    cpu = {} if cpu_seconds is None else {"cpu_seconds": round(cpu_seconds, 3)}
    write_json(path, {"seconds": round(seconds, 3), **cpu, "peak_bytes": peak_bytes, "device": device})


def read_costs(path: Path) -> dict[str, object] | None:
    """What was noted; None (``not measured``) if nothing readable is there."""
    try:
        costs = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return costs if isinstance(costs, dict) else None


def measured_costs(path: Path) -> MeasuredCosts | None:
    """What was noted of seconds, memory and device; None if nothing readable is there."""
    costs = read_costs(path)
    if not costs:
        return None
    try:
        found = MeasuredCosts(float(str(costs["seconds"])), int(str(costs["peak_bytes"])), str(costs["device"]))
    except (KeyError, ValueError):
        return None
    return found if 0 <= found.seconds < math.inf and found.peak_bytes >= 0 else None
