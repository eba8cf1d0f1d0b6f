"""Whether a job that is sent here can use the device it will be given: asked before a thousand jobs are sent."""

import os
from collections.abc import Iterator

import torch

from dcpipe import device
from dcpipe.errors import DcpipeError
from dcpipe.models.build import build
from dcpipe.random import Stream

PROMISES = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS")  # what schedulers say of a job
ABSENT = {"", "-1", "NoDevFiles", "0x0"}


def lines() -> Iterator[str]:
    """What is found, a line each, while it is found.

    Raises: DcpipeError if a scheduler promised an accelerator that PyTorch cannot see, or if the same arithmetic
    twice gives different bits.
    """
    job = os.environ.get("SLURM_JOB_ID")
    yield f"torch {torch.__version__}, CUDA {torch.version.cuda or 'not in this build'}"
    yield f"allocation: SLURM job {job}" if job else "allocation: none, this machine's devices are shared by file locks"
    promises = {name: os.environ[name] for name in PROMISES if os.environ.get(name, "") not in ABSENT}
    for name, value in promises.items():
        yield f"{name}={value}"
    device.prepare(1)
    if promises and not device.choose_is_cuda() and not os.environ.get("DCPIPE_DEVICE"):
        name, value = next(iter(promises.items()))
        remedy = "install a build of torch for CUDA and look at nvidia-smi, or set DCPIPE_DEVICE=cpu to compute without"
        raise DcpipeError("an accelerator was promised but torch sees none", where=f"{name}={value}", remedy=remedy)
    target = device.choose()
    if target.type == "cuda":
        free, total = torch.cuda.mem_get_info(target)
        yield f"device: {target}, {torch.cuda.get_device_name(target)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    else:
        yield f"device: {target}"
    if not torch.equal(_gradient(target), _gradient(target)):
        raise DcpipeError(
            "the same arithmetic twice gave different bits", where=str(target), remedy="see docs/cluster.md"
        )
    yield "the gradient of a network twice: the same bits"


def _gradient(target: torch.device) -> torch.Tensor:
    """The gradient of a small network's logits on drawn images; on a GPU it runs every kind of layer once."""
    network = build("convnet3", channels=3, image_size=32, classes=10)
    draws = Stream.root(0, "gpu-check").generator()
    theta_P = network.initial(draws).to(target).requires_grad_()
    x_NCHW = torch.randn(64, 3, 32, 32, generator=draws).to(target)
    (gradient_P,) = torch.autograd.grad(network(theta_P, x_NCHW).square().mean(), theta_P)
    return gradient_P
