"""What a matching gives the outer loop: the loss and its gradients, and what a student left behind.

Legend: N images, C channels, H W pixels, K classes, P parameters of a student, T inner steps.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Gradients:
    """Derivatives of the matching loss with respect to what is learned.

    Shapes: images (N, C, H, W); step_size 0-d, None where the loss does not depend on it; labels (N, K), None where
    they were not asked for.
    """

    images: Tensor
    step_size: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StudentStart:
    """A point inside an earlier run of the inner loop, to go on from: the parameters (P) after `step` steps."""

    step: int
    theta_P: Tensor


@dataclass(frozen=True, slots=True)
class StudentTrace:
    """What a student's run of the inner loop leaves behind, detached from every graph.

    `thetas`: the parameter vectors (P) after steps `first`, `first` + 1, ... T, so all T+1 of them, the start
    first, unless the kind of hypergradient keeps fewer; `gradient_sum` (P): the sum of the T inner gradients;
    `final_gradient` (P): derivative of the loss with respect to the last parameters. The first-order derivative of the
    step size is minus the product of the last two.
    """

    thetas: tuple[Tensor, ...]
    gradient_sum: Tensor
    final_gradient: Tensor
    first: int = 0

    @property
    def final(self) -> Tensor:
        """(P,): the student's parameters after its last step."""
        return self.thetas[-1]

    @property
    def steps(self) -> int:
        """T, the number of inner steps that the student took."""
        return self.first + len(self.thetas) - 1

    def at(self, step: int) -> StudentStart:
        """Where the student was after so many steps. Errors: IndexError where its parameters were not kept."""
        if not self.first <= step <= self.steps:
            raise IndexError(f"kept from step {self.first} to {self.steps}, not {step}")
        return StudentStart(step, self.thetas[step - self.first])


@dataclass(frozen=True, slots=True)
class MatchingResult:
    """The matching loss (0-d, detached) and its gradients."""

    loss: Tensor
    gradients: Gradients


@dataclass(frozen=True, slots=True)
class StudentResult(MatchingResult):
    """The result of a matching whose loss comes from a student, with what the student left behind."""

    trace: StudentTrace
