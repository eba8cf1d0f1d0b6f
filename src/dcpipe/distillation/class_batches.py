"""Real and synthetic images of one class, side by side, augmented alike.

Legend: N images, C channels, H W pixels, K classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.data.augment import DSADraw
from dcpipe.data.store import Images
from dcpipe.distillation.synthetic_set import SyntheticSet, drawn_rows, rows_by_class
from dcpipe.random import Stream


@dataclass(frozen=True, slots=True)
class ClassSample:
    """For one class: which real images (rows of the training part, int64, CPU), and how both sides are augmented."""

    label: int
    real_rows: Tensor
    augmentation: DSADraw | None

    def augmented(self, x_NCHW: Tensor) -> Tensor:
        """Images of either side as the network sees them."""
        return x_NCHW if self.augmentation is None else augment.apply(x_NCHW, self.augmentation)


class ClassBatches:
    """Draws from a training part, class by class.

    Source: DC (arXiv:2006.05929) draws real images of each class uniformly without replacement (all of them where
    there are no more) and takes every synthetic image of it; DSA (arXiv:2102.08259) augments both by one draw.
    """

    def __init__(self, train: Images, augmentation: str) -> None:
        self._train, self._rows = train, rows_by_class(train.labels_N, train.classes)
        self.strategy = augment.parse_strategy(augmentation)

    @property
    def all_real_images(self) -> Tensor:
        """Every real image (N x C x H x W)."""
        return self._train.images_NCHW

    def draw(self, count: int, stream: Stream) -> tuple[ClassSample, ...]:
        """For each class `count` real images and one augmentation, by draws named after the class."""
        return tuple(
            ClassSample(
                label,
                drawn_rows(rows, label, count, stream.child("real")),
                self._augmentation(stream.child("augmentation", label)),
            )
            for label, rows in enumerate(self._rows)
        )

    def _augmentation(self, stream: Stream) -> DSADraw | None:
        if not self.strategy:
            return None
        size, generator = self._train.size, stream.generator()
        return augment.draw(self.strategy, batch=1, height=size, width=size, generator=generator, siamese=True)

    def real_images(self, draw: ClassSample) -> Tensor:
        """The real images of a draw as the network sees them (n x C x H x W)."""
        return draw.augmented(self._train.images_NCHW[draw.real_rows.to(self._train.images_NCHW.device)])

    def balanced(self, count: int, stream: Stream) -> tuple[Tensor, Tensor]:
        """`count` real images of every class, not augmented (n x C x H x W), and their labels (n)."""
        rows = torch.cat([drawn_rows(rows, label, count, stream) for label, rows in enumerate(self._rows)])
        rows = rows.to(self._train.labels_N.device)
        return self._train.images_NCHW[rows], self._train.labels_N[rows]


def synthetic_rows(synthetic: SyntheticSet, label: int) -> Tensor:
    """The rows of a class in a synthetic set (int64)."""
    return torch.nonzero(synthetic.labels == label).flatten()
