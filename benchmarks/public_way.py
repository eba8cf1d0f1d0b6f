"""Trajectory matching's hypergradients as the public codes of the field compute them, written plainly.

A ConvNet as a function of one flat vector, of PyTorch's own layers; MTT (arXiv:2203.11932) by one graph through all
inner steps; TESLA (arXiv:2211.10586) by the steps without a graph first, and then one graph a step. Nothing of dcpipe's
but the augmentation, the draws and the distance, which are the same on both sides.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcpipe.data import augment
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem

Answer = tuple[Tensor, Tensor]  # derivatives of images and step size


@dataclass(frozen=True)
class PublicWay:
    """A problem, the shapes of the network's parameters, its depth, and the segment's end (P)."""

    problem: HypergradientProblem
    shapes: Sequence[torch.Size]
    depth: int
    target_P: Tensor

    def network(self, theta_P: Tensor, x_NCHW: Tensor) -> Tensor:
        """Convolution, instance norm, ReLU, average pooling, and a linear layer. N C H W -> N K."""
        pieces = torch.split(theta_P, [shape.numel() for shape in self.shapes])
        tensors = [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        for block in range(self.depth):
            kernel, bias, scale, shift = tensors[4 * block : 4 * block + 4]
            x_NCHW = functional.conv2d(x_NCHW, kernel, bias, padding=1)
            x_NCHW = functional.group_norm(x_NCHW, len(scale), scale, shift)
            x_NCHW = functional.avg_pool2d(functional.relu(x_NCHW), 2)
        return functional.linear(x_NCHW.flatten(1), *tensors[-2:])

    def mtt(self) -> Answer:
        """One graph through all inner steps."""
        problem = self.problem
        images_NCHW, step_size = problem.images_NCHW.clone().requires_grad_(), problem.step_size.clone()
        step_size.requires_grad_()
        theta_P = problem.start_P.clone().requires_grad_()
        for step in range(problem.draws.steps):
            loss = self._loss(step, theta_P, images_NCHW)
            (gradient_P,) = torch.autograd.grad(loss, theta_P, create_graph=True)
            theta_P = theta_P - step_size * gradient_P
        by_images, by_step_size = torch.autograd.grad(self._distance(theta_P), [images_NCHW, step_size])
        return by_images, by_step_size

    def tesla(self) -> Answer:
        """The inner steps without a graph, then each step's own derivative."""
        problem = self.problem
        images_NCHW, step_size = problem.images_NCHW.clone().requires_grad_(), problem.step_size
        thetas, sum_P = [problem.start_P], torch.zeros_like(problem.start_P)
        for step in range(problem.draws.steps):
            leaf_P = thetas[-1].clone().requires_grad_()
            (gradient_P,) = torch.autograd.grad(self._loss(step, leaf_P, images_NCHW.detach()), leaf_P)
            thetas.append(thetas[-1] - step_size * gradient_P)
            sum_P += gradient_P
        last_P = thetas[-1].clone().requires_grad_()
        (pull_P,) = torch.autograd.grad(self._distance(last_P), last_P)
        by_images = torch.zeros_like(images_NCHW)
        for step in range(problem.draws.steps):
            leaf_P = thetas[step].clone().requires_grad_()
            (gradient_P,) = torch.autograd.grad(self._loss(step, leaf_P, images_NCHW), leaf_P, create_graph=True)
            by_images += torch.autograd.grad(-step_size * (gradient_P @ pull_P), images_NCHW)[0]
        return by_images, -(sum_P @ pull_P)

    def of(self, kind: str) -> Callable[[], Answer]:
        """MTT's or TESLA's."""
        return {"exact": self.mtt, "per_step": self.tesla}[kind]

    def _loss(self, step: int, theta_P: Tensor, images_NCHW: Tensor) -> Tensor:
        rows, draw = self.problem.draws.batches[step], self.problem.draws.augmentations[step]
        x_NCHW = images_NCHW[rows] if draw is None else augment.apply(images_NCHW[rows], draw)
        return functional.cross_entropy(self.network(theta_P, x_NCHW), self.problem.labels[rows])

    def _distance(self, theta_P: Tensor) -> Tensor:
        moved = functional.mse_loss(self.problem.start_P, self.target_P, reduction="sum")
        return functional.mse_loss(theta_P, self.target_P, reduction="sum") / moved
