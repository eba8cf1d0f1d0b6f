"""The workloads of the benchmark of hypergradients: one outer iteration of trajectory matching each.

Images and parameters are random numbers, which time and memory do not mind.
"""

from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.public_way import PublicWay
from dcpipe.data import augment
from dcpipe.distillation.distances.trajectory_distance import trajectory_distance
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerDraws
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.student import draw_batches
from dcpipe.models.build import build
from dcpipe.models.convnet_derivatives import ConvNetDerivatives
from dcpipe.params.compute import Precision

STRATEGY = "color_crop_cutout_flip_scale_rotate"
STEP_SIZE = 0.01


@dataclass(frozen=True)
class Workload:
    """A ConvNet of a depth and width, images, a batch (None: the whole set), inner steps, and a kind of hypergradient.

    `goal`: the speed over the public way's that was asked for.
    """

    depth: int
    width: int
    channels: int
    size: int
    classes: int
    ipc: int
    batch: int | None
    steps: int
    goal: float
    kind: str = "exact"
    augmented: bool = True

    @property
    def images(self) -> int:
        """Of an inner step."""
        return min(self.batch or self.classes * self.ipc, self.classes * self.ipc)

    @property
    def network(self) -> str:
        """Its name."""
        return f"convnet{self.depth}" + ("" if self.width == 128 else f"-w{self.width}")

    def problem(
        self, steps: int, dtype: torch.dtype = torch.float32, precision: Precision = "float32"
    ) -> tuple[HypergradientProblem, PublicWay]:
        """For so many inner steps, and for the public way."""
        generator = torch.Generator().manual_seed(0)
        shape = {"channels": self.channels, "image_size": self.size, "classes": self.classes}
        model = build(self.network, **shape, precision=precision)
        derivatives = ConvNetDerivatives.from_name(self.network, **shape, precision=precision)
        start_P = model.initial_parameters(generator, dtype)
        target_P = start_P + 0.01 * torch.randn(len(start_P), generator=generator).to(dtype)
        count = self.classes * self.ipc
        images = torch.randn(count, self.channels, self.size, self.size, generator=generator).to(dtype)
        batches = draw_batches(count, self.batch, steps, generator)
        strategy = augment.parse_strategy(STRATEGY)
        draw = partial(augment.draw, strategy, height=self.size, width=self.size, generator=generator, siamese=False)
        draws = tuple(draw(batch=len(rows)) if self.augmented else None for rows in batches)
        asked = HypergradientProblem(
            make_inner_training(model, derivatives=derivatives, augment=augment.apply),
            images_NCHW=images,
            labels=torch.arange(self.classes).repeat_interleave(self.ipc),
            step_size=torch.tensor(STEP_SIZE, dtype=dtype),
            start_P=start_P,
            objective=partial(trajectory_distance, start_P=start_P, target_P=target_P),
            draws=InnerDraws(batches, draws),
        )
        return asked, PublicWay(asked, [torch.Size(spec.shape) for spec in model.layout], self.depth, target_P)


WORKLOADS = {
    "digits-ipc1": Workload(2, 64, 1, 8, 10, 1, None, 20, goal=1.5, augmented=False),
    "digits-ipc10": Workload(2, 64, 1, 8, 10, 10, 50, 20, goal=1.5, augmented=False),
    "cifar10-ipc1-n50": Workload(3, 128, 3, 32, 10, 1, None, 50, goal=1.3),
    "cifar10-ipc10-n30": Workload(3, 128, 3, 32, 10, 10, None, 30, goal=1.3),
    "cifar100-ipc1-n20": Workload(3, 128, 3, 32, 100, 1, None, 20, goal=1.3),
    "tesla-cifar10-ipc1-n50": Workload(3, 128, 3, 32, 10, 1, None, 50, goal=1.3, kind="per_step"),
    "64px-ipc1-n10": Workload(4, 128, 3, 64, 10, 1, None, 10, goal=1.3),
}
