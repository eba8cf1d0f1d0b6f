"""Which device a job computes on, and the settings that its numbers depend on.

One accelerator a job. On one machine a job takes the first free device by a file lock that the kernel drops when
the process dies; the one device of a cluster's allocation, or what DCPIPE_DEVICE names, is trusted.
"""

import ctypes
import logging
import os
from pathlib import Path

import torch

from dcpipe.workflow import device_pool
from dcpipe.workflow.stopping import stop, stop_requested

log = logging.getLogger("dcpipe")


def configure_torch(threads: int) -> None:
    """Fix what the arithmetic depends on: numeric threads, deterministic algorithms, no reduced precision."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, without loading the compiler
    # a debugging aid, a tenth of a small step's time; the module is a class that mypy does not see through
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _keep_memory_pages()


def allow_tf32() -> None:
    """Let convolutions and matrix products round what they read to TF32, until torch is configured again.

    NVIDIA's devices alone know it: ten bits of mantissa instead of 23, float32's range.
    """
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def _keep_memory_pages() -> None:
    """Stop glibc from returning freed pages to the kernel and faulting them in again at every step.

    Up to twice as fast for large batches on a CPU; changes no bit.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 64 * 2**20)
    except (OSError, AttributeError):  # another C library: nothing to set
        return


def choose() -> torch.device:
    """The device of this job: the CPU where there is no accelerator.

    Raises: Interrupted if the job is asked to stop while it waits for a device.
    """
    chosen, visible = _choose(), os.environ.get("CUDA_VISIBLE_DEVICES")
    log.info("computing on %s%s", chosen, "" if visible is None else f", CUDA_VISIBLE_DEVICES={visible}")
    return chosen


def _choose() -> torch.device:
    named = os.environ.get("DCPIPE_DEVICE")
    if named:
        return torch.device(named)
    simulated_devices = device_pool.simulated_devices()
    if simulated_devices:
        device_pool.take_device(simulated_devices, _stop_if_requested)
        return torch.device("cpu")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if os.environ.get("SLURM_JOB_ID") and count == 1:
        return torch.device("cuda", 0)
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    return torch.device("cuda", device_pool.take_device(names, _stop_if_requested))


def _stop_if_requested() -> None:
    if stop_requested():
        stop()


def hardware_class() -> dict[str, object]:
    """What bits are promised within: torch, and the CPU's instruction set or the accelerator's model."""
    found: dict[str, object] = {"torch": torch.__version__.split("+")[0], "cpu": _instruction_set()}
    if chosen_device_is_cuda():
        found["gpu"] = torch.cuda.get_device_name(0)
        found["cuda"] = torch.version.cuda
    return found


def chosen_device_is_cuda() -> bool:
    """Whether `choose` gives an accelerator, without taking one."""
    named = os.environ.get("DCPIPE_DEVICE")
    return named.startswith("cuda") if named else torch.cuda.is_available()


def _instruction_set() -> str:
    base = torch.backends.cpu.get_cpu_capability()
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return str(base)
    flags = next((line.split(":")[1].split() for line in text.splitlines() if line.startswith("flags")), [])
    extra = [flag for flag in ("avx512_bf16", "avx512_vnni", "amx_bf16") if flag in flags]
    return " ".join([str(base), *extra])


def reset_peak_memory() -> None:
    """Measure the accelerator's memory anew, where this process used one before."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """The most memory this process ever held: the accelerator's where one is used, else its resident set."""
    if torch.cuda.is_available() and torch.cuda.memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    try:
        # not getrusage: its figure outlives exec, so that a child begins with its parent's peak
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
