"""One inner step, ready to be pulled back.

Legend: N images, B images in a batch, C channels, H W pixels, K classes, P parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dcpipe.distillation.hypergradient.hypergradient_problem import (
    HypergradientProblem,
    MicroBatchGradient,
    PullbackResult,
)
from dcpipe.distillation.student import augmented, micro_batches


@dataclass(frozen=True, slots=True)
class InnerStep:
    """Rows of the set, their images before and after the augmentation, and micro-batches with their shares of it.

    The parts of a step that is not kept are made one after the other and can be gone through once.
    """

    rows: Tensor
    raw_BCHW: Tensor
    seen_BCHW: Tensor
    parts: Iterable[tuple[float, MicroBatchGradient]]

    @classmethod
    def of(cls, problem: HypergradientProblem, number: int, theta_P: Tensor, *, keep: bool) -> "InnerStep":
        """The step of this number (from 0), taken at these parameters."""
        inner, draws = problem.inner, problem.draws
        rows = draws.batches[number].to(problem.images_NCHW.device)
        labels = problem.labels.detach()[rows]
        with torch.enable_grad():
            raw_BCHW = problem.images_NCHW.detach()[rows].requires_grad_()
            seen_BCHW = augmented(inner, raw_BCHW, draws.augmentations[number])
        cut = micro_batches(inner, seen_BCHW.detach(), labels)
        parts = ((share, inner.derivatives.gradient_with_pullback(theta_P, x, y)) for share, x, y in cut)
        return cls(rows, raw_BCHW, seen_BCHW, tuple(parts) if keep else parts)

    def gradient(self, like_P: Tensor) -> Tensor:
        """The gradient of the batch's mean cross-entropy (P)."""
        total_P = torch.zeros_like(like_P)
        for share, part in self.parts:
            total_P.add_(part.gradient, alpha=share)
            del part  # before the next one is made
        return total_P

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> PullbackResult:
        """See `PullbackResult`; the derivative of the images is with respect to those before their augmentation."""
        slope, curved_P = v_P.new_zeros(()), torch.zeros_like(v_P) if through_parameters else None
        images, logits = list[Tensor](), list[Tensor]()
        for share, part in self.parts:
            pulled = part.pullback(v_P, through_parameters=through_parameters)
            slope.add_(pulled.slope, alpha=share)
            if curved_P is not None and pulled.theta is not None:
                curved_P.add_(pulled.theta, alpha=share)
            images.append(share * pulled.images)
            if pulled.labels is not None:
                logits.append(share * pulled.labels)
            del part
        images_BCHW = torch.cat(images)
        if self.seen_BCHW is not self.raw_BCHW:
            (images_BCHW,) = torch.autograd.grad(self.seen_BCHW, self.raw_BCHW, images_BCHW)
        return PullbackResult(slope, curved_P, images_BCHW, torch.cat(logits) if logits else None)
