"""The outer optimisers: what an iteration's gradients do to images, step size and labels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dcpipe.distillation import guard
from dcpipe.distillation.hypergradient.common import Gradients
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.models.sgd import SGD
from dcpipe.params.labels import LearnedLabels
from dcpipe.params.outer import FixedStepSize, Outer


@dataclass(slots=True)
class OuterOptimiser:
    """SGD on the images and, where they are learned, on the step size and the labels; nothing else moves."""

    images: SGD
    step_size: SGD | None
    labels: SGD | None

    @classmethod
    def of(cls, outer: Outer) -> "OuterOptimiser":
        """Fresh optimisers with the preset's rates."""
        images, step_size, labels = outer.images, outer.step_size, outer.labels
        return cls(
            SGD(images.learning_rate, images.momentum),
            None if isinstance(step_size, FixedStepSize) else SGD(step_size.learning_rate, step_size.momentum),
            SGD(labels.learning_rate, labels.momentum) if isinstance(labels, LearnedLabels) else None,
        )

    def update(self, iteration: int, synthetic: SyntheticSet, gradients: Gradients) -> SyntheticSet:
        """The set after one update.

        Raises: NonFiniteError before the update if it would leave images or labels that are not finite, or a step
        size that is not positive; the optimisers, too, are then as they were.
        """
        for_images, for_step_size = replace(self.images), replace(self.step_size) if self.step_size else None
        for_labels = replace(self.labels) if self.labels else None
        images, step_size = for_images.step(synthetic.images_NCHW, gradients.images), synthetic.step_size
        labels = synthetic.labels
        if for_step_size is not None:
            step_size = for_step_size.step(step_size, gradients.step_size.to(step_size.dtype))
        if for_labels is not None and gradients.labels is not None:
            labels = for_labels.step(labels, gradients.labels)
        guard.refuse_non_finite(iteration, images=images, step_size=step_size, labels=labels)
        guard.refuse_bad_step_size(iteration, step_size)
        self.images, self.step_size, self.labels = for_images, for_step_size, for_labels
        return SyntheticSet(images, labels, step_size)

    def tensors(self) -> dict[str, Tensor]:
        """The optimisers' state."""
        found = {f"velocity.{name}": sgd.velocity_P for name, sgd in self._named().items()}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take up a saved state."""
        for name, sgd in self._named().items():
            if f"velocity.{name}" in tensors:
                sgd.velocity_P = tensors[f"velocity.{name}"].to(device)

    def _named(self) -> dict[str, SGD]:
        named = {"images": self.images, "step_size": self.step_size, "labels": self.labels}
        return {name: sgd for name, sgd in named.items() if sgd is not None}
