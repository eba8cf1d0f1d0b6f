"""What is known of this machine for estimates: measured once by `machine_speed`, and kept beside the resume state."""

import json
import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dcpipe.provenance.durable import write_json
from dcpipe.workflow.state_folder import state_root

FILE = "machine.json"
MEASURING_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Machine:
    """Speed on one thread, and the bytes of a process with its libraries.

    The defaults are those of two cores of 2026 and of the largest build of torch 2.15.
    """

    seconds_per_call: float = 1e-3
    operations_per_second: float = 50e9
    process_bytes: float = 670e6
    is_measured: bool = False


def load_machine(root: Path) -> Machine:
    """What was measured on this machine; the defaults if nothing was."""
    try:
        found = json.loads(_file(root).read_text())[_name()]
        numbers = [float(found[key]) for key in _KEYS]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Machine()
    if not all(0 < number < math.inf for number in numbers):
        return Machine()
    call, speed, process = numbers
    return Machine(call, speed, process, is_measured=True)


def measure_machine(root: Path) -> Machine:
    """The same, after measuring where it was not done yet: some seconds, in a process of its own, without a GPU."""
    machine = load_machine(root)
    if machine.is_measured:
        return machine
    command = [sys.executable, "-m", "dcpipe.workflow.machine_speed"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=MEASURING_SECONDS,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        found = json.loads(done.stdout)
        _file(root).parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(root), {**_read_machines(root), _name(): found})
    except (OSError, ValueError, subprocess.SubprocessError):  # nothing depends on it
        return machine
    return load_machine(root)


_KEYS = ("seconds_per_call", "operations_per_second", "process_bytes")


def _file(root: Path) -> Path:
    return state_root(root) / FILE


def _name() -> str:
    """Projects lie on file systems that several machines see."""
    return platform.node() or "this machine"


def _read_machines(root: Path) -> dict[str, object]:
    try:
        found = json.loads(_file(root).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
