"""What an iteration's gradients do to images, step size and labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation import finite_check
from dcpipe.distillation.matching_results import Gradients
from dcpipe.distillation.optimisers.tensor_optimiser import TensorOptimiser
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.method import OuterLoop


@dataclass(slots=True)
class OuterOptimiser:
    """An optimiser of the images and, where they are learned, of the step size and the labels; nothing else moves."""

    images: TensorOptimiser
    step_size: TensorOptimiser | None
    labels: TensorOptimiser | None

    @classmethod
    def from_config(cls, outer: OuterLoop) -> "OuterOptimiser":
        """Fresh optimisers, as the preset chooses them."""
        step_size, labels = outer.step_size.learning_optimiser, outer.labels.learning_optimiser
        return cls(
            outer.images.optimiser.build(),
            step_size.build() if step_size else None,
            labels.build() if labels else None,
        )

    def copy(self) -> "OuterOptimiser":
        """The same state, whose updates leave this one alone."""
        return OuterOptimiser(
            self.images.copy(),
            self.step_size.copy() if self.step_size else None,
            self.labels.copy() if self.labels else None,
        )

    def update(self, iteration: int, synthetic: SyntheticSet, gradients: Gradients) -> SyntheticSet:
        """The set after one update.

        Raises: NonFiniteError before the update if it would leave images or labels that are not finite, or a step
        size that is not positive; the optimisers, too, are then as they were.
        """
        after = self.copy()
        images, step_size = after.images.step(synthetic.images_NCHW, gradients.images), synthetic.step_size
        labels = synthetic.labels
        if after.step_size is not None and gradients.step_size is not None:
            step_size = after.step_size.step(step_size, gradients.step_size.to(step_size.dtype))
        if after.labels is not None and gradients.labels is not None:
            labels = after.labels.step(labels, gradients.labels)
        finite_check.refuse_non_finite(iteration, images=images, step_size=step_size, labels=labels)
        finite_check.refuse_bad_step_size(iteration, step_size)
        self.images, self.step_size, self.labels = after.images, after.step_size, after.labels
        return SyntheticSet(images, labels, step_size)

    def state_dict(self) -> dict[str, Tensor]:
        """The optimisers' state, by part and name."""
        return {
            f"optimiser.{part}.{name}": tensor
            for part, optimiser in self._parts().items()
            for name, tensor in optimiser.state_dict().items()
        }

    def load_state_dict(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take up a saved state."""
        for part, optimiser in self._parts().items():
            prefix = f"optimiser.{part}."
            state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            optimiser.load_state_dict(state, device)

    def _parts(self) -> dict[str, TensorOptimiser]:
        parts = {"images": self.images, "step_size": self.step_size, "labels": self.labels}
        return {part: optimiser for part, optimiser in parts.items() if optimiser is not None}
