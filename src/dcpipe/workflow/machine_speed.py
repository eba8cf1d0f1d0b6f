"""How fast this machine computes and what a process with the libraries takes, measured once for estimates.

python -m dcpipe.workflow.machine_speed      prints JSON; `dcpipe plan` asks a process of its own, once a machine
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

LONG = ("convnet3", 3, 32, 16)  # network, channels, pixels per side and images of a step that computes
SHORT = ("convnet2-w8", 1, 8, 1)  # and of one that hardly does
SECONDS = 0.5


def _median_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of a call: the median over half a second, after a first one that is not counted."""
    call()
    times, started = list[float](), time.process_time()
    while time.process_time() - started < SECONDS or len(times) < 2:
        before = time.process_time()
        call()
        times.append(time.process_time() - before)
    return sorted(times)[len(times) // 2]


def measure() -> dict[str, float]:
    """Seconds of a pass whatever it computes, operations a second beyond, and bytes of the process."""
    import torch

    from dcpipe import device
    from dcpipe.distillation.student import inner_gradient
    from dcpipe.models.build import build
    from dcpipe.params.network_name import parse

    device.configure_torch(1)
    spent, operations = list[float](), list[float]()
    for name, channels, side, images in (LONG, SHORT):
        model = build(name, channels=channels, image_size=side, classes=10)
        size = parse(name).size(channels=channels, image_size=side, classes=10)
        theta_P, x_NCHW = model.initial_parameters(torch.Generator()), torch.zeros(images, channels, side, side)
        labels_N = torch.zeros(images, dtype=torch.int64)
        spent.append(_median_seconds(partial(inner_gradient, model, theta_P, x_NCHW, labels_N)))
        operations.append(size.gradient_work(images).operations)
    return {
        "seconds_per_call": spent[1] / 3,
        "operations_per_second": operations[0] / max(spent[0] - spent[1], 1e-6),
        "process_bytes": float(device.peak_bytes()),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()))
