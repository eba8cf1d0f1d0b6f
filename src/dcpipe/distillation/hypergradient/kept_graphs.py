"""The adjoint with graphs that are kept: what `exact` runs again on its way back is at hand for the last steps.

A step takes 3 times a forward pass, its product with a vector 6 more, and running it again 3 more: with its graph kept
a step takes 9 instead of 12, as one graph through all steps does. Kept or made again, a graph is the same operations
on the same numbers in the same order, so a budget of memory alters no bit. `exact` differs from all of them by
rounding: its way forward has no graphs, and PyTorch differentiates a group norm by another formula then.

Legend: N images, B images in a batch, C channels, H W pixels, K classes, P parameters, T inner steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dcpipe.distillation.answers import Gradients, StudentAnswer, Trace
from dcpipe.distillation.hypergradient.problem import (
    Apply,
    Hypergradient,
    Problem,
    Pulled,
    objective_and_gradient,
)
from dcpipe.distillation.student import augmented, cross_entropy

ALLOWANCE = 1.5  # what a process grows by for a graph is 1.1 to 1.4 times what it holds: an allocator leaves gaps


@dataclass(frozen=True, slots=True)
class PartGraph:
    """A micro-batch's part of a step: its share of the batch, what it was computed from, and its gradient (P).

    `labels` (B, K) are logits that the gradient depends on; None for hard ones.
    """

    share: float
    theta_P: Tensor
    x_BCHW: Tensor
    labels: Tensor | None
    gradient_P: Tensor

    @classmethod
    def of(cls, apply: Apply, theta_P: Tensor, x_BCHW: Tensor, labels: Tensor, share: float = 1.0) -> "PartGraph":
        """The gradient of a micro-batch's mean cross-entropy, with the graph it was computed by."""
        with torch.enable_grad():
            leaf_P, x_BCHW = theta_P.detach().requires_grad_(), x_BCHW.detach().requires_grad_()
            soft = labels.is_floating_point()
            labels = labels.detach().requires_grad_(soft)
            loss = cross_entropy(apply(leaf_P, x_BCHW), labels)
            (gradient_P,) = torch.autograd.grad(loss, leaf_P, create_graph=True)
        return cls(share, leaf_P, x_BCHW, labels if soft else None, gradient_P)

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> Pulled:
        """See `Pulled`; the graph is used up."""
        inputs = {"images": self.x_BCHW}
        if through_parameters:
            inputs["theta"] = self.theta_P
        if self.labels is not None:
            inputs["labels"] = self.labels
        found = torch.autograd.grad(self.gradient_P, list(inputs.values()), v_P, materialize_grads=True)
        pulled = dict(zip(inputs, found, strict=True))
        return Pulled(self.gradient_P.detach() @ v_P, pulled.get("theta"), pulled["images"], pulled.get("labels"))


@dataclass(frozen=True, slots=True)
class StepGraph:
    """One inner step: its rows of the set, its images before and after their augmentation, and its parts."""

    rows: Tensor
    raw_BCHW: Tensor
    seen_BCHW: Tensor
    parts: Sequence[PartGraph]

    @classmethod
    def of(cls, problem: Problem, step: int, theta_P: Tensor) -> "StepGraph":
        """The step of this number (from 0), taken at these parameters."""
        inner, draws = problem.inner, problem.draws
        rows = draws.batches[step].to(problem.images_NCHW.device)
        labels = problem.labels.detach()[rows]
        with torch.enable_grad():
            raw_BCHW = problem.images_NCHW.detach()[rows].requires_grad_()
            seen_BCHW = augmented(inner, raw_BCHW, draws.augmentations[step])
        length = inner.micro_batch or len(rows)
        cut = zip(torch.split(seen_BCHW.detach(), length), torch.split(labels, length), strict=True)
        parts = tuple(PartGraph.of(inner.apply, theta_P, x, y, len(x) / len(rows)) for x, y in cut)
        return cls(rows, raw_BCHW, seen_BCHW, parts)

    @property
    def gradient(self) -> Tensor:
        """The gradient of the batch's mean cross-entropy (P)."""
        total_P = torch.zeros_like(self.parts[0].gradient_P)
        for part in self.parts:
            total_P.add_(part.gradient_P.detach(), alpha=part.share)
        return total_P

    def pullback(self, v_P: Tensor, *, through_parameters: bool) -> Pulled:
        """See `Pulled`; the derivative of the images is with respect to those before their augmentation."""
        pulled = [(part.share, part.pullback(v_P, through_parameters=through_parameters)) for part in self.parts]
        slope, images_BCHW = v_P.new_zeros(()), torch.cat([share * part.images for share, part in pulled])
        for share, part in pulled:
            slope.add_(part.slope, alpha=share)
        if self.seen_BCHW is not self.raw_BCHW:
            (images_BCHW,) = torch.autograd.grad(self.seen_BCHW, self.raw_BCHW, images_BCHW)
        curved_P = _summed((share, part.theta) for share, part in pulled)
        logits = [share * part.labels for share, part in pulled if part.labels is not None]
        return Pulled(slope, curved_P, images_BCHW, torch.cat(logits) if logits else None)


def within(budget_bytes: int | None, *, through_parameters: bool = True) -> Hypergradient:
    """The hypergradient that keeps the graphs of as many of the last steps as fit in a budget (None: of all).

    Without `through_parameters` it is TESLA's: v stays what it is at the last parameters.
    Memory: T+1 parameter vectors, the kept graphs, and one step more.
    """

    def evaluate(problem: Problem) -> StudentAnswer:
        steps = problem.draws.steps
        first_kept = steps - kept_steps(problem, budget_bytes)
        theta_P, eta = problem.start_P.detach(), problem.step_size.detach()
        thetas, sum_P, graphs = [theta_P], torch.zeros_like(theta_P), list[StepGraph]()
        for step in range(steps):
            graph = StepGraph.of(problem, step, theta_P)
            gradient_P = graph.gradient
            sum_P += gradient_P
            theta_P = theta_P - eta * gradient_P
            thetas.append(theta_P)
            if step >= first_kept:
                graphs.append(graph)
            del graph  # before the next one is made
        loss, final_P = objective_and_gradient(problem.objective, theta_P)
        gradients = _backwards(problem, thetas, graphs, final_P, through_parameters=through_parameters)
        return StudentAnswer(loss, gradients, Trace(tuple(thetas), sum_P, final_P))

    return evaluate


def _backwards(
    problem: Problem, thetas: Sequence[Tensor], graphs: list[StepGraph], v_P: Tensor, *, through_parameters: bool
) -> Gradients:
    eta = problem.step_size.detach()
    by_images, by_labels = torch.zeros_like(problem.images_NCHW), torch.zeros_like(problem.labels)
    by_step_size = torch.zeros_like(eta)
    for step in reversed(range(problem.draws.steps)):
        graph = graphs.pop() if graphs else StepGraph.of(problem, step, thetas[step])
        pulled, rows = graph.pullback(v_P, through_parameters=through_parameters), graph.rows
        del graph
        by_images.index_add_(0, rows, pulled.images)
        if pulled.labels is not None:
            by_labels.index_add_(0, rows, pulled.labels)
        by_step_size -= pulled.slope
        if pulled.theta is not None:
            v_P = v_P - eta * pulled.theta
    learned_labels = -eta * by_labels if problem.labels_require_grad else None
    return Gradients(-eta * by_images, by_step_size, learned_labels)


def _summed(parts: Iterator[tuple[float, Tensor | None]]) -> Tensor | None:
    """The sum of shares of vectors; None where there are none."""
    total: Tensor | None = None
    for share, part in parts:
        if part is not None:
            total = (torch.zeros_like(part) if total is None else total).add_(part, alpha=share)
    return total


def kept_steps(problem: Problem, budget_bytes: int | None) -> int:
    """How many graphs a budget holds: of all T steps, where there is none."""
    steps = problem.draws.steps
    return steps if budget_bytes is None or not steps else min(steps, budget_bytes // step_bytes(problem))


def step_bytes(problem: Problem) -> int:
    """The bytes that the graph of a step of the largest batch takes at most: a matter of shapes alone.

    The step is traced on the meta device, which computes nothing; what its graph holds is added up, with an allowance.
    """
    images, labels, inner = problem.images_NCHW, problem.labels, problem.inner
    largest = max(len(rows) for rows in problem.draws.batches)
    whole, rest = divmod(largest, inner.micro_batch or largest)
    soft = labels.shape[1] if labels.is_floating_point() else None

    def part(count: int) -> int:
        shape = (count, *images.shape[1:])
        return _part_bytes(inner.apply, problem.start_P.numel(), shape, soft, images.dtype) if count else 0

    pixels = 2 * largest * images[0].numel() * images.itemsize  # before and after the augmentation
    return int(ALLOWANCE * (whole * part(inner.micro_batch or largest) + part(rest) + pixels))


@lru_cache(maxsize=64)
def _part_bytes(apply: Apply, parameters: int, shape: tuple[int, ...], classes: int | None, dtype: torch.dtype) -> int:
    held: dict[int, torch.UntypedStorage] = {}  # each once, however many views of it are saved; alive, so ids are own

    def count(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        held[id(storage)] = storage
        return saved

    with torch.device("meta"):
        theta_P, x_BCHW = torch.empty(parameters, dtype=dtype), torch.empty(shape, dtype=dtype)
        hard = torch.empty(shape[0], dtype=torch.int64)
        labels = hard if classes is None else torch.empty((shape[0], classes), dtype=dtype)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        graph = PartGraph.of(apply, theta_P, x_BCHW, labels)
    held.pop(id(graph.theta_P.untyped_storage()), None)  # a parameter vector, which is there anyway
    return sum(storage.nbytes() for storage in held.values()) + graph.gradient_P.nbytes
