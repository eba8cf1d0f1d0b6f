"""`dcpipe gpu-check`: whether a job on this machine can use its device; for a check before many jobs are submitted."""

import os
from collections.abc import Iterator

import torch

from dcpipe import device
from dcpipe.errors import DcpipeError
from dcpipe.models.build import build
from dcpipe.random import Stream

ALLOCATIONS = (
    "CUDA_VISIBLE_DEVICES",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_GPUS",
)  # set by schedulers for a job with accelerators
ABSENT = {"", "-1", "NoDevFiles", "0x0"}


def gpu_check_lines() -> Iterator[str]:
    """The results of the checks, one line each, as they come.

    Raises: DcpipeError if a scheduler allocated an accelerator that PyTorch cannot find, or if the same arithmetic
    twice gives different bits.
    """
    job = os.environ.get("SLURM_JOB_ID")
    yield f"torch {torch.__version__}, CUDA {torch.version.cuda or 'not in this build'}"
    yield f"allocation: SLURM job {job}" if job else "allocation: none, this machine's devices are shared by file locks"
    allocated = {name: os.environ[name] for name in ALLOCATIONS if os.environ.get(name, "") not in ABSENT}
    for name, value in allocated.items():
        yield f"{name}={value}"
    device.configure_torch(1)
    if allocated and not device.chosen_device_is_cuda() and not os.environ.get("DCPIPE_DEVICE"):
        name, value = next(iter(allocated.items()))
        remedy = "install a torch build with CUDA and check nvidia-smi, or set DCPIPE_DEVICE=cpu to compute on the CPU"
        raise DcpipeError(
            "the scheduler allocated an accelerator, but torch finds none", where=f"{name}={value}", remedy=remedy
        )
    target = device.choose()
    if target.type == "cuda":
        free, total = torch.cuda.mem_get_info(target)
        yield f"device: {target}, {torch.cuda.get_device_name(target)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    else:
        yield f"device: {target}"
    if not torch.equal(_gradient(target), _gradient(target)):
        raise DcpipeError(
            "the same computation gave different bits the second time", where=str(target), remedy="see docs/cluster.md"
        )
    yield "the gradient of a network, computed twice: the same bits"


def _gradient(target: torch.device) -> torch.Tensor:
    """The gradient of a small network's logits on drawn images; on a GPU it runs every kind of layer once."""
    network = build("convnet3", channels=3, image_size=32, classes=10)
    draws = Stream.root(0, "gpu-check").generator()
    theta_P = network.initial_parameters(draws).to(target).requires_grad_()
    x_NCHW = torch.randn(64, 3, 32, 32, generator=draws).to(target)
    (gradient_P,) = torch.autograd.grad(network(theta_P, x_NCHW).square().mean(), theta_P)
    return gradient_P
