"""Speed of trajectory matching's hypergradient against the way of the public code: one graph through all inner steps.

    python benchmarks/hypergradient_speed.py                        # every row, with at most 4 inner steps each
    python benchmarks/hypergradient_speed.py --rows digits-ipc1 --steps 20 --repeats 9

The peer is written here as the public code of trajectory matching (arXiv:2203.11932) does it: a ConvNet as a function
of one flat vector, `create_graph` in every step, one backward pass through all; PyTorch's own layers, nothing of
dcpipe's but the augmentation, which is the same on both sides, as are draws, threads and allocator. All ways run in one
process, one thread, one after the other in turns; what counts is process time, which neighbours on the machine disturb
less than wall time, and the median over turns of peer / ours: above 1, ours is faster. Time is linear in the inner
steps, so a few stand for all of them; `auto` is what `kept_graphs: auto` comes to at the row's own length, by the share
of its steps whose graphs fit. Prints one JSON object.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe import device
from dcpipe.data import augment
from dcpipe.distillation.distances.trajectory_distance import trajectory_distance
from dcpipe.distillation.hypergradient import exact, kept_graphs
from dcpipe.distillation.hypergradient.kept_graphs_config import AUTO_MEGABYTES, MEGABYTE
from dcpipe.distillation.hypergradient.problem import Hypergradient, InnerDraws, Problem
from dcpipe.distillation.inner_loop import make_inner
from dcpipe.distillation.student import draw_batches
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives

STRATEGY = "color_crop_cutout_flip_scale_rotate"
Answer = tuple[Tensor, Tensor]  # derivatives of images and step size


@dataclass(frozen=True)
class Row:
    """One workload: ConvNet of a depth and width, images, a batch (None: the whole set), and inner steps."""

    depth: int
    width: int
    channels: int
    size: int
    classes: int
    ipc: int
    batch: int | None
    steps: int
    augmented: bool = True


ROWS = {
    "digits-ipc1": Row(2, 64, 1, 8, 10, 1, None, 20, augmented=False),
    "digits-ipc10": Row(2, 64, 1, 8, 10, 10, 50, 20, augmented=False),
    "cifar10-ipc1-n20": Row(3, 128, 3, 32, 10, 1, None, 20),
    "cifar10-ipc1-n50": Row(3, 128, 3, 32, 10, 1, None, 50),
    "cifar10-ipc10-n30": Row(3, 128, 3, 32, 10, 10, None, 30),
    "cifar100-ipc1-n20": Row(3, 128, 3, 32, 100, 1, None, 20),
    "64px-ipc1-n10": Row(4, 128, 3, 64, 10, 1, None, 10),
}


def convnet(theta_P: Tensor, x_NCHW: Tensor, shapes: list[torch.Size], depth: int) -> Tensor:
    """The peer's ConvNet: convolution, instance norm, ReLU, average pooling, and a linear layer. N C H W -> N K."""
    pieces = torch.split(theta_P, [shape.numel() for shape in shapes])
    tensors = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    for block in range(depth):
        kernel, bias, scale, shift = tensors[4 * block : 4 * block + 4]
        x_NCHW = functional.conv2d(x_NCHW, kernel, bias, padding=1)
        x_NCHW = functional.group_norm(x_NCHW, len(scale), scale, shift)
        x_NCHW = functional.avg_pool2d(functional.relu(x_NCHW), 2)
    return functional.linear(x_NCHW.flatten(1), *tensors[-2:])


def peer(asked: Problem, shapes: list[torch.Size], depth: int, target_P: Tensor) -> Answer:
    """The public way."""
    images_NCHW, step_size = asked.images_NCHW.clone().requires_grad_(), asked.step_size.clone().requires_grad_()
    theta_P = asked.start_P.clone().requires_grad_()
    for rows, draw in zip(asked.draws.batches, asked.draws.augmentations, strict=True):
        x_NCHW = images_NCHW[rows] if draw is None else augment.apply(images_NCHW[rows], draw)
        loss = functional.cross_entropy(convnet(theta_P, x_NCHW, shapes, depth), asked.labels[rows])
        (gradient_P,) = torch.autograd.grad(loss, theta_P, create_graph=True)
        theta_P = theta_P - step_size * gradient_P
    distance = functional.mse_loss(theta_P, target_P, reduction="sum")
    moved = functional.mse_loss(asked.start_P, target_P, reduction="sum")
    by_images, by_step_size = torch.autograd.grad(distance / moved, [images_NCHW, step_size])
    return by_images, by_step_size


def problem(row: Row, steps: int, dtype: torch.dtype = torch.float32) -> tuple[Problem, Callable[[], Answer]]:
    """A row's problem for so many steps, and the peer's way to solve it; images and parameters are random numbers."""
    generator = torch.Generator().manual_seed(0)
    width = "" if row.width == 128 else f"-w{row.width}"
    shape = {"channels": row.channels, "image_size": row.size, "classes": row.classes}
    model, derivatives = (of(f"convnet{row.depth}{width}", **shape) for of in (build, ConvNetDerivatives.of))
    start_P = model.initial(generator, dtype)
    target_P = start_P + 0.01 * torch.randn(len(start_P), generator=generator).to(dtype)
    images = torch.randn(row.classes * row.ipc, row.channels, row.size, row.size, generator=generator).to(dtype)
    batches = draw_batches(len(images), row.batch, steps, generator)
    draw = partial(augment.draw, augment.parse_strategy(STRATEGY), height=row.size, width=row.size, generator=generator)
    draws = tuple(draw(batch=len(rows), siamese=False) if row.augmented else None for rows in batches)
    asked = Problem(
        make_inner(model, derivatives=derivatives, augment=augment.apply),
        images_NCHW=images,
        labels=torch.arange(row.classes).repeat_interleave(row.ipc),
        step_size=torch.tensor(0.01, dtype=dtype),
        start_P=start_P,
        objective=partial(trajectory_distance, start_P=start_P, target_P=target_P),
        draws=InnerDraws(batches, draws),
    )
    shapes = [torch.Size(spec.shape) for spec in model.layout]
    return asked, partial(peer, asked, shapes, row.depth, target_P)


def answer(evaluate: Hypergradient, asked: Problem) -> Answer:
    """Ours."""
    gradients = evaluate(asked).gradients
    return gradients.images, gradients.step_size


def measure(row: Row, steps: int, repeats: int) -> dict[str, object]:
    """Ratios of one row."""
    double, theirs = problem(row, 2, torch.float64)
    ours = answer(kept_graphs.within(None), double)[0]
    error = float((ours - theirs()[0]).norm() / ours.norm())
    asked, theirs = problem(row, steps)
    ways: dict[str, Callable[[], Answer]] = {
        "peer": theirs,
        "none": partial(answer, exact.evaluate, asked),
        "all": partial(answer, kept_graphs.within(None), asked),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if turn:  # the first warms up
                spent[name].append(time.process_time() - started)
    step_bytes = kept_graphs.step_bytes(asked)
    share = min(row.steps, AUTO_MEGABYTES * MEGABYTE // step_bytes) / row.steps
    auto = [none + share * (every - none) for none, every in zip(spent["none"], spent["all"], strict=True)]
    return {
        "inner_steps": {"of the row": row.steps, "timed": steps},
        "milliseconds_a_step": {
            name: round(1000 * statistics.median(times) / steps, 1) for name, times in spent.items()
        },
        "peer / none": ratio(spent["peer"], spent["none"]),
        "peer / all": ratio(spent["peer"], spent["all"]),
        "peer / auto": ratio(spent["peer"], auto),
        "share of steps that auto keeps": round(share, 2),
        "predicted_megabytes": {
            "a kept step": round(step_bytes / MEGABYTE, 1),
            "all": round(row.steps * step_bytes / MEGABYTE),
        },
        "gradient_relative_error": float(f"{error:.1e}"),
    }


def ratio(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """Median over turns, with the smallest and the largest."""
    found = [one / other for one, other in zip(theirs, ours, strict=True)]
    return {name: round(of(found), 2) for name, of in (("median", statistics.median), ("low", min), ("high", max))}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=4, help="inner steps that are timed, at most the row's")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    device.prepare(1)
    rows = {name: measure(ROWS[name], min(given.steps, ROWS[name].steps), given.repeats) for name in given.rows}
    told = {"threads": 1, "repeats": given.repeats, "torch": torch.__version__, "rows": rows}
    print(json.dumps({**told, "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
