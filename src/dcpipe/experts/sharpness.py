"""Directions of descent towards flat minima: plain gradient, SAM and GSAM, on flat parameter vectors.

P parameters. theta_P: where the network is; g: gradient there; e: the perturbation, the first-order worst
point within a ball around theta; g_p: gradient at theta + e.

The caller's `gradient` must be that of one fixed batch, augmented once: the passes differ in the parameters
alone. Nothing here changes theta_P, so there is no perturbation to undo and no rounding from undoing it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Gradient = Callable[[Tensor], Tensor]

# keeps a vanishing gradient from dividing by zero; the value of the public SAM and GSAM code
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Direction:
    """What to hand to the base optimiser as its gradient, and the two gradients it was made of.

    `perturbed_gradient_P` is `gradient_P` itself where there was no second pass.
    """

    d_P: Tensor
    gradient_P: Tensor
    perturbed_gradient_P: Tensor


DirectionRule = Callable[[Gradient, Tensor], Direction]
"""(gradient at any parameters, the network's parameters (P)) -> what to descend."""


def perturbation(theta_P: Tensor, gradient_P: Tensor, *, radius: float, adaptive: bool) -> Tensor:
    """The step from theta to the first-order maximum of the loss within the ball.

    Plain: radius g / |g|, a ball of Euclidean radius. Adaptive: radius w^2 g / | |w| g |, w the parameters,
    elementwise: a ball that scales with them, so its size is about radius times their size.
    Norms run over the whole vector, not tensor by tensor.
    Source: SAM, arXiv:2010.01412, equation 2; ASAM, arXiv:2102.11600, with the metric |w| and no offset.
    """
    if not adaptive:
        return gradient_P * (radius / (_norm(gradient_P) + TINY))
    return theta_P.square() * gradient_P * (radius / (_norm(theta_P.abs() * gradient_P) + TINY))


def sgd_direction(gradient: Gradient, theta_P: Tensor) -> Direction:
    """The gradient itself, one pass."""
    gradient_P = gradient(theta_P)
    return Direction(gradient_P, gradient_P, gradient_P)


def sam_direction(gradient: Gradient, theta_P: Tensor, *, radius: float, adaptive: bool) -> Direction:
    """The gradient at the perturbed point, two passes; at radius 0 the plain gradient, one pass.

    Source: SAM, arXiv:2010.01412, equation 3.
    """
    if radius == 0:
        return sgd_direction(gradient, theta_P)
    gradient_P = gradient(theta_P)
    perturbed_P = gradient(theta_P + perturbation(theta_P, gradient_P, radius=radius, adaptive=adaptive))
    return Direction(perturbed_P, gradient_P, perturbed_P)


def gsam_direction(gradient: Gradient, theta_P: Tensor, *, radius: float, alpha: float, adaptive: bool) -> Direction:
    """SAM's gradient g_p, less alpha times the part of g at right angles to it.

    That part lowers the gap between the worst loss in the ball and the loss at theta without, to first
    order, raising the worst loss. alpha 0 is SAM, radius 0 the plain gradient bit for bit. Angles are
    Euclidean also with the adaptive ball, as in the public code.
    Source: GSAM, arXiv:2203.08065, algorithm 1; used for experts by FTD, arXiv:2211.11004.
    """
    sam = sam_direction(gradient, theta_P, radius=radius, adaptive=adaptive)
    # no perturbation, no gap to lower; the guarded projection would leave something of a tiny gradient
    if radius == 0:
        return sam
    across_P = orthogonal_part(sam.gradient_P, sam.perturbed_gradient_P)
    return Direction(sam.d_P - alpha * across_P, sam.gradient_P, sam.perturbed_gradient_P)


def orthogonal_part(gradient_P: Tensor, perturbed_P: Tensor) -> Tensor:
    """The part of g at right angles to g_p: g - (<g, g_p> / <g_p, g_p>) g_p; all of g where g_p is zero."""
    along = torch.dot(gradient_P, perturbed_P) / torch.dot(perturbed_P, perturbed_P).clamp(min=TINY**2)
    return gradient_P - along * perturbed_P


def sharpness(loss: Gradient, theta_P: Tensor, gradient_P: Tensor, radius: float) -> Tensor:
    """How much the loss rises over a step of length radius along the gradient; a scalar tensor.

    Unit: the loss's. A lower bound of the maximum over the ball, equal to it to first order in radius.
    Source: FTD, arXiv:2211.11004, equation 12.
    """
    step_P = perturbation(theta_P, gradient_P, radius=radius, adaptive=False)
    return loss(theta_P + step_P) - loss(theta_P)


def _norm(vector_P: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vector_P)
    return norm
