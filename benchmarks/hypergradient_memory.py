"""Memory of one outer iteration by each kind of hypergradient: whole process, one fresh process a case.

ConvNet-3 of width 128 (320,010 parameters) on 32x32 colour images, DSA, at the shapes of CIFAR-10. The same allocator
settings and threads on every side; images and experts are random numbers, which memory does not mind.

    python benchmarks/hypergradient_memory.py                  # exact against unrolled: ipc 10, 10 to 30 inner steps
    python benchmarks/hypergradient_memory.py --ipc 1 --steps 50 --kinds exact unrolled truncated

Prints one JSON object: peak bytes and seconds of each case, the ratio of unrolled to exact, and how far exact's peaks
lie apart over the numbers of inner steps.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

KINDS = ("exact", "unrolled", "truncated", "per_step", "satm")
MICRO_BATCH = 10  # images that go through the network at once, where a kind can cut
KEPT = 3  # truncated keeps the last third of the steps; satm is both of its passes


@dataclass(frozen=True)
class Segment:
    """One segment to match, as an episode that outer sharpness can ask."""

    kind: Callable[..., Any]
    problem: Callable[..., Any]
    inner: Any
    objective: Any
    draws: Any
    start_P: Any

    @property
    def student(self) -> "Segment":
        return self

    def evaluate(self, synthetic: Any, start: Any = None) -> Any:
        problem = self.problem(
            self.inner,
            images_NCHW=synthetic.images_NCHW,
            labels=synthetic.labels,
            step_size=synthetic.step_size,
            start_P=start.theta_P if start else self.start_P,
            objective=self.objective,
            draws=self.draws.after(start.step) if start else self.draws,
        )
        return self.kind(problem)


def case(kind: str, ipc: int, steps: int, threads: int) -> dict[str, float]:
    """One outer iteration in this process."""
    import torch

    from dcpipe import device
    from dcpipe.data import augment
    from dcpipe.distillation.distances.trajectory_distance import trajectory_distance
    from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerDraws
    from dcpipe.distillation.inner_loop import make_inner_training
    from dcpipe.distillation.sharpness.passes import ascent, two_passes
    from dcpipe.distillation.student import draw_batches
    from dcpipe.distillation.synthetic_set import SyntheticSet
    from dcpipe.models.build import build
    from dcpipe.params.shares import SecondPass

    device.configure_torch(threads)
    generator = torch.Generator().manual_seed(0)
    model = build("convnet3", channels=3, image_size=32, classes=10)
    start_P, target_P = (model.initial_parameters(generator) for _ in range(2))
    images = torch.randn(10 * ipc, 3, 32, 32, generator=generator)
    strategy = augment.parse_strategy("color_crop_cutout_flip_scale_rotate")
    batches = draw_batches(len(images), None, steps, generator)
    draws = tuple(
        augment.draw(strategy, batch=len(rows), height=32, width=32, generator=generator, siamese=False)
        for rows in batches
    )
    module = import_module(f"dcpipe.distillation.hypergradient.{'truncated' if kind == 'satm' else kind}")
    evaluate: Callable[..., Any] = (
        module.truncated_hypergradient(max(1, steps // KEPT)) if kind in ("truncated", "satm") else module.evaluate
    )
    micro_batch = None if kind == "unrolled" or ipc * 10 <= MICRO_BATCH else MICRO_BATCH
    started = time.perf_counter()
    segment = Segment(
        evaluate,
        HypergradientProblem,
        make_inner_training(model, augment=augment.apply, micro_batch=micro_batch),
        partial(trajectory_distance, start_P=start_P, target_P=target_P),
        InnerDraws(batches, draws),
        start_P,
    )
    synthetic = SyntheticSet(images, torch.arange(10).repeat_interleave(ipc), torch.tensor(0.01))
    if kind == "satm":
        second_pass = SecondPass(steps=f"1/{KEPT}", draws="shared")
        two_passes(synthetic, segment, second_pass, lambda h_NCHW: ascent(images, h_NCHW, 0.1))
    else:
        segment.evaluate(synthetic)
    return {"peak_bytes": device.peak_bytes(), "seconds": round(time.perf_counter() - started, 1)}


def fresh(kind: str, ipc: int, steps: int, threads: int) -> dict[str, float]:
    """The same in a process of its own."""
    words = ["--case", kind, "--ipc", str(ipc), "--steps", str(steps), "--threads", str(threads)]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 30])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["exact", "unrolled"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", choices=KINDS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(case(given.case, given.ipc, given.steps[0], given.threads)))
        return
    most = max(given.steps)
    wanted = [(kind, steps) for kind in given.kinds for steps in given.steps if kind == "exact" or steps == most]
    found = {f"{kind} N={steps}": fresh(kind, given.ipc, steps, given.threads) for kind, steps in wanted}
    exact = [found[f"exact N={steps}"]["peak_bytes"] for steps in given.steps] if "exact" in given.kinds else []
    told: dict[str, object] = {"ipc": given.ipc, "threads": given.threads, "cases": found}
    for kind in given.kinds:
        if exact and kind != "exact":
            told[f"{kind} / exact"] = round(found[f"{kind} N={most}"]["peak_bytes"] / exact[-1], 2)
    if len(exact) > 1:
        told["exact: largest / smallest over N"] = round(max(exact) / min(exact), 3)
    print(json.dumps({**told, "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
